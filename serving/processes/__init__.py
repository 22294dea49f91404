"""The gateway's side of models in processes of their own: starts, calls, stops and replaces them."""
