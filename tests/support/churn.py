"""A table of customers like the most common one of the field: texts, a date, gaps, and names and values in Korean."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mlops_lib.columns.encode import encode_frame
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.wrappers.interface import ModelWrapper

KEY, LABEL = "고객번호", "이탈"


def customers(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Customers as their CSV has them; an integer of two values, a boolean, a date in text, and two columns with gaps."""
    rng = np.random.default_rng(seed)
    months = rng.integers(0, 72, rows)
    charges = rng.uniform(20, 120, rows).round(2)
    contract = rng.choice(["매월", "1년", "2년"], rows, p=[0.5, 0.3, 0.2])
    payment = rng.choice(["계좌 이체 (자동)", "신용카드", "전자 청구서", None], rows, p=[0.3, 0.3, 0.3, 0.1])
    risk = (contract == "매월") * 1.5 - months / 40 + charges / 100 + rng.normal(0, 0.5, rows)
    return pd.DataFrame(
        {
            KEY: [f"{number:05d}-가" for number in range(rows)],
            "성별": rng.choice(["남", "여"], rows),
            "고령자": rng.integers(0, 2, rows),
            "가입 개월": months,
            "계약": contract,
            "결제.수단": payment,
            "월 요금": charges,
            "총 요금": np.where(rng.random(rows) < 0.1, np.nan, (charges * months).round(2)),
            "가입일": [
                f"{2020 + int(y)}-{m:02d}-{d:02d}"
                for y, m, d in rng.integers((0, 1, 1), (5, 13, 29), (rows, 3))
            ],
            "자동 결제": rng.random(rows) < 0.5,
            LABEL: np.where(risk > np.median(risk), "예", "아니오"),
        }
    )


def sent(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON has them: a gap is null."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


class Weights(ModelWrapper):
    """A classifier of customers without a fit: fixed weights on the encoded row, each row by itself."""

    takes_matrix = True
    matrix_dtype = np.float64
    columns: Any = None

    def __init__(self, label: str | tuple[str, ...] = LABEL) -> None:
        train = customers()
        schema = infer(pa.Table.from_pandas(train), Declared(label=label, key=KEY))
        self.columns, self.encoder = schema, fit(schema, [train])

    @property
    def classes(self) -> list[Any]:
        return list(self.columns.classes)

    def fit(self, *_: Any) -> str:
        raise NotImplementedError

    def open(self, folder: Any) -> None:
        raise NotImplementedError

    def predict(self, input_data: Any) -> np.ndarray:
        matrix = input_data
        if not isinstance(matrix, np.ndarray):
            matrix = encode_frame(self.encoder, pd.DataFrame(input_data))
        weights = np.linspace(-1, 1, matrix.shape[1])
        return 1 / (1 + np.exp(-(np.nan_to_num(matrix, nan=-3.0) * weights).sum(axis=1) / 100))
