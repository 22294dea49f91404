"""The base of LLM models: prompts, chats, answers to many rows, and the package that MLflow keeps."""
