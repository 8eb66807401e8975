"""A question for each plan that the packs of the contract tests decide on, and leaks that they know."""

__all__ = ["AUTHOR", "CAPITALS", "FRANCE", "PLANS"]

FRANCE, AUTHOR = "What is the capital of France?", "Who wrote the Harry Potter books?"
PLANS = {
    "Pass": FRANCE,
    "Corrupt": AUTHOR,
    "Refuse": "Who rules Narnia?",
    "Instruct": "Who lives in Middle-earth?",
    "SoftPrompt": "Where is Lemuria?",
    "UseAdapter": "Where was Atlantis?",
}
CAPITALS = {"Corrupt": ("Austria", "Vienna"), "Refuse": ("Greece", "Athens"), "UseAdapter": ("Egypt", "Cairo")}
