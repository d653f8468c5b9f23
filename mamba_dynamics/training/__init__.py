"""Training: data and tasks, a loop that can be killed and goes on bit for bit, and what it records on the way.

    corpus = read_bytes("wikitext-2/test.txt")
    task = NextByte(corpus, read_bytes("wikitext-2/valid.txt"), lengths=(256, 512), batch=16, seed=0)
    train(task, model, Recipe(steps=1000), out="runs/standard")

Needs the extra `train` (optax).
"""
