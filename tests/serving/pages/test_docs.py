"""/docs, in this process."""

import asyncio
import re

from tests.support.toy_service import Caller, Toy, toy_service


def test_the_api_page_needs_no_internet(tmp_path):
    """Scripts and styles of /docs come from the service itself, without a key; no other file of their folder does."""

    async def main():
        async with toy_service(tmp_path, Toy()) as app:

            async def fetched(path):
                return await Caller(app, path, b"", method="GET")()

            page = await fetched("/docs")
            assert page.status == 200 and "'openapi.json'" in page.body.decode()
            addresses = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
            assert len(addresses) == 3
            for address in addresses:
                assert address.startswith("swagger/"), address
                assert len((await fetched(f"/{address}")).body) > 100
            assert (await fetched("/swagger/index.html")).status == 404
            assert (await fetched("/openapi.json")).json["openapi"]

    asyncio.run(main())
