"""An agent for customers of a bookshop, with two tools: the state of an order,
and a search in the terms of the shop."""

from typing import Annotated

from langchain_core.messages import SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import Field

from mlops_lib.llm.words import words
from mlops_lib.wrappers.langgraph import GraphPackage

#: Order -> its state in the language of the customer. Ask your database here.
ORDERS = {
    "MB-1042": "Order MB-1042 is on its way and arrives on 27 November.",
    "MB-1043": "Order MB-1043 is paid and leaves the shop today.",
    "MB-2001": "주문 MB-2001은 배송 중이며 11월 27일에 도착합니다.",
    "MB-2002": "주문 MB-2002는 결제되었고 오늘 출고합니다.",
}
#: Terms of the shop.
TERMS = {
    "delivery": "Delivery within Korea costs 3,000 won, and is free from 30,000 won.",
    "returns": "Unread books can be returned within 14 days of delivery.",
    "points": "Members get 5% of each purchase as points. Points expire after 12 months.",
    "배송": "국내 배송비는 3,000원이고, 30,000원부터 무료입니다.",
    "반품": "읽지 않은 책은 배송일로부터 14일 안에 반품할 수 있습니다.",
    "포인트": "회원은 구매 금액의 5%를 포인트로 받습니다. 포인트는 12개월 뒤에 소멸합니다.",
}


@tool
def order_status(
    order: Annotated[str, Field(pattern="MB-[0-9]{4}", description="Number of the order")],
) -> str:
    """The state of a customer's order."""
    return ORDERS.get(order, f"There is no order {order}.")


@tool
def search_terms(query: str) -> str:
    """Find passages in the terms of the shop: delivery, returns, points."""
    asked = set(words(query))
    found = sorted(TERMS.items(), key=lambda item: len(asked & set(words(" ".join(item)))), reverse=True)
    return "\n\n".join(f"[{title}]\n{text}" for title, text in found[:3])


def graph(package: GraphPackage) -> StateGraph:
    """model -> [tool call?] tools -> model"""
    tools = [order_status, search_terms]
    model = package.chat_model(package.config["model"], temperature=0).bind_tools(tools)

    async def ask(state: MessagesState) -> dict:
        return {
            "messages": [await model.ainvoke([SystemMessage(package.prompts["system"]), *state["messages"]])]
        }

    found = StateGraph(MessagesState)
    found.add_node("model", ask)
    found.add_node("tools", ToolNode(tools))
    found.add_edge(START, "model")
    found.add_conditional_edges("model", tools_condition)
    found.add_edge("tools", "model")
    return found
