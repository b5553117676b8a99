"""How a serving engine on GPUs behaves: memory, step time and the event loop; knows no prices and reads no logs."""
