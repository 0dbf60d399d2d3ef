package perm

// Bounds of a [PubCache]: at most a quarter of a megabyte of subjects.
const (
	pubCacheMax        = 1024 // subjects
	pubCacheSubjectMax = 256  // bytes; longer ones are judged each time
)

// PubCache remembers what a Set said about the subjects a connection publishes to.
// It belongs to the connection's strand. The zero value is ready to use; it may be
// asked about another Set at any time and then forgets what it knew.
type PubCache struct {
	set      *Set
	verdicts map[string]bool
	order    []string // a ring once it is full: the oldest goes first
	oldest   int
}

// Allows is set.CanPublish(subject). A subject it remembers costs no allocation.
func (c *PubCache) Allows(set *Set, subject []byte) bool {
	if !set.RestrictsPublish() {
		return true
	}
	if c.set != set {
		*c = PubCache{set: set, verdicts: make(map[string]bool)}
	}
	if ok, known := c.verdicts[string(subject)]; known {
		return ok
	}
	ok := set.CanPublish(subject)
	if len(subject) <= pubCacheSubjectMax {
		c.remember(string(subject), ok)
	}
	return ok
}

func (c *PubCache) remember(subject string, ok bool) {
	if len(c.order) < pubCacheMax {
		c.order = append(c.order, subject)
	} else {
		delete(c.verdicts, c.order[c.oldest])
		c.order[c.oldest] = subject
		c.oldest = (c.oldest + 1) % pubCacheMax
	}
	c.verdicts[subject] = ok
}
