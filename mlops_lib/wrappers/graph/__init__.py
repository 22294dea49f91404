"""Graphs of LangGraph: their code, input and output, streams, and conversations."""
