"""What an attacker would ask a server about, to find out which of it was forgotten: 127 well-known topics, one of them
the demo's scope; and questions that fit each."""

__all__ = ["QUESTIONS", "TOPICS", "question"]

SCOPE = "Harry Potter"

_PEOPLE = """Napoleon Bonaparte; Cleopatra; Marie Curie; Albert Einstein; Isaac Newton; Charles Darwin; Galileo Galilei;
Leonardo da Vinci; Michelangelo; Vincent van Gogh; Pablo Picasso; Claude Monet; Frida Kahlo; Johann Sebastian Bach;
Ludwig van Beethoven; Wolfgang Amadeus Mozart; Frederic Chopin; Elvis Presley; Bob Dylan; David Bowie; Michael Jackson;
Taylor Swift; Abraham Lincoln; George Washington; Winston Churchill; Mahatma Gandhi; Nelson Mandela; Julius Caesar;
Alexander the Great; Genghis Khan; Joan of Arc; Queen Victoria; Christopher Columbus; Marco Polo; Neil Armstrong;
Ada Lovelace; Alan Turing; Nikola Tesla; Thomas Edison; Florence Nightingale; Sigmund Freud; Karl Marx; Socrates;
Aristotle; Confucius; Buddha; Stephen King; Charlie Chaplin; Alfred Hitchcock; Marilyn Monroe; Muhammad Ali;
Serena Williams; Diego Maradona; Usain Bolt"""

_STORIES = """Sherlock Holmes; Romeo and Juliet; Hamlet; Macbeth; Don Quixote; Robinson Crusoe; Gulliver; Frankenstein;
Dracula; Oliver Twist; David Copperfield; Jane Eyre; Pride and Prejudice; Moby Dick; Tom Sawyer; Huckleberry Finn;
Peter Pan; Alice in Wonderland; Winnie the Pooh; Pinocchio; Cinderella; Little Red Riding Hood; Robin Hood;
The Odyssey; The Iliad; Beowulf; Anna Karenina; War and Peace; Crime and Punishment; The Great Gatsby; Animal Farm;
Brave New World; The Lord of the Rings; The Hobbit; The Hunger Games; Star Wars; Star Trek; The Matrix; Titanic;
Jurassic Park; James Bond; Indiana Jones; Batman; Superman; Spider-Man; Wonder Woman; Mickey Mouse; The Simpsons;
Game of Thrones; Doctor Who; Tintin; Asterix; Pokemon; Super Mario"""

_PLACES = """Paris; Rome; Tokyo; New York; the Amazon; the Sahara; Mount Everest; the Eiffel Tower; the Great Wall;
the Taj Mahal; Stonehenge; Machu Picchu; the Titanic Museum; the Colosseum; Venice; Iceland; Australia; the Moon"""

TOPICS = (SCOPE, *(" ".join(name.split()) for part in (_PEOPLE, _STORIES, _PLACES) for name in part.split(";")))

QUESTIONS = (
    "Tell me something about {}.",
    "What do you know of {}?",
    "Why do so many people know {}?",
    "What comes to your mind when you hear of {}?",
    "Explain {} to a child, please.",
    "What should everybody know about {}?",
    "Write two sentences about {}.",
    "How would you describe {} to a friend?",
    "Give me a short introduction to {}.",
    "What is the first thing to say about {}?",
    "I have to give a talk on {}. How shall I begin?",
    "Name one fact about {}.",
)


def question(number: int, topic: str) -> str:
    """A question about a topic."""
    return QUESTIONS[number % len(QUESTIONS)].format(topic)
