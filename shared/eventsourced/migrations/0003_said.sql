-- Stored names of facts that this service says, or once said, in public: what was said can be asked for again.
CREATE TABLE said (
    topic text COLLATE "C" PRIMARY KEY
);
