"""The ground-truth server: streams on a schedule in vLLM's dialect and stamps its own writes."""
