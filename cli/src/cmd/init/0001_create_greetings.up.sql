CREATE TABLE greetings (
    id INTEGER PRIMARY KEY,
    words TEXT NOT NULL
);
