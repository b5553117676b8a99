"""Tasks with a checkable answer, by stratum and level: read them, write them; what grades an answer is not here.

for task in load_tasks("builtin", samples=100):
    body = {"messages": msgspec.to_builtins(task.messages), "max_tokens": task.max_tokens, "temperature": 0}
"""

from costplan.tasks.load import load_tasks
from costplan.tasks.task import Message, Task, task_line

__all__ = ["Message", "Task", "load_tasks", "task_line"]
