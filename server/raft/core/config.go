package core

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// MembersMax bounds the members of each part of a configuration.
const MembersMax = 31

// Member is a voter in one of its lives.
type Member struct {
	ID   MemberID
	Life Life
}

// Learner gets entries and does not count.
type Learner struct {
	ID MemberID
	// Auto: it becomes a voter by itself once it has caught up.
	Auto bool
}

// Config says who is a member. It never changes; a change makes another one.
type Config struct {
	Voters []Member // ascending by id
	// Outgoing are the voters before a change that is under way: decisions need a majority of
	// both. Empty otherwise.
	Outgoing []Member
	Learners []Learner // ascending by id
}

// configAt is a configuration, in force from the entry that holds it.
type configAt struct {
	index Index
	Config
}

func compareMembers(a, b Member) int   { return cmp.Compare(a.ID, b.ID) }
func compareLearners(a, b Learner) int { return cmp.Compare(a.ID, b.ID) }

// Joint tells whether a change is under way.
func (c *Config) Joint() bool { return len(c.Outgoing) > 0 }

// Names tells whether the member counts in this life.
func (c *Config) Names(id MemberID, l Life) bool {
	m := Member{id, l}
	return l != 0 && (slices.Contains(c.Voters, m) || slices.Contains(c.Outgoing, m))
}

// Has tells whether the id is that of a member in any life.
func (c *Config) Has(id MemberID) bool {
	_, voter := c.life(id)
	return voter || c.learner(id) >= 0
}

// life is that under which a voter counts, the newer one while both are named.
func (c *Config) life(id MemberID) (Life, bool) {
	for _, half := range [...][]Member{c.Voters, c.Outgoing} {
		for i := range half {
			if half[i].ID == id {
				return half[i].Life, true
			}
		}
	}
	return 0, false
}

func (c *Config) learner(id MemberID) int {
	return slices.IndexFunc(c.Learners, func(l Learner) bool { return l.ID == id })
}

// ids appends all members, ascending, each once.
func (c *Config) ids(dst []MemberID) []MemberID {
	for _, m := range c.Voters {
		dst = append(dst, m.ID)
	}
	for _, m := range c.Outgoing {
		dst = append(dst, m.ID)
	}
	for _, l := range c.Learners {
		dst = append(dst, l.ID)
	}
	slices.Sort(dst)
	return slices.Compact(dst)
}

// Validate tells what makes a configuration impossible.
func (c *Config) Validate() error {
	if len(c.Voters) == 0 {
		return fmt.Errorf("%w: no voter is left", ErrChange)
	}
	if max(len(c.Voters), len(c.Outgoing), len(c.Learners)) > MembersMax {
		return fmt.Errorf("%w: more than %d members", ErrChange, MembersMax)
	}
	for _, half := range [...][]Member{c.Voters, c.Outgoing} {
		for i, m := range half {
			if m.ID == 0 || m.Life == 0 || i > 0 && half[i-1].ID >= m.ID {
				return fmt.Errorf("%w: voters %v are not ascending, or one has no id or life", ErrChange, half)
			}
		}
	}
	for i, l := range c.Learners {
		_, votes := c.life(l.ID)
		if l.ID == 0 || i > 0 && c.Learners[i-1].ID >= l.ID || votes {
			return fmt.Errorf("%w: learners %v are not ascending, have no id, or vote", ErrChange, c.Learners)
		}
	}
	return nil
}

func (c *Config) clone() Config {
	return Config{slices.Clone(c.Voters), slices.Clone(c.Outgoing), slices.Clone(c.Learners)}
}

// each tells whether all halves have a majority for which yes holds.
func (c *Config) each(yes func(Member) bool) bool {
	return majority(c.Voters, yes) && (len(c.Outgoing) == 0 || majority(c.Outgoing, yes))
}

func majority(members []Member, yes func(Member) bool) bool {
	n := 0
	for _, m := range members {
		if yes(m) {
			n++
		}
	}
	return n > len(members)/2
}

// Change is what ProposeConfig is asked to do to the members. All happens at one point of the log.
type Change struct {
	// Learn become learners; those in Join too, and become voters once they have caught up.
	Learn, Join []MemberID
	// Promote makes learners voters, which must have caught up.
	Promote []MemberID
	// Remove takes voters and learners out.
	Remove []MemberID
}

// AppendConfig appends the encoding of c to dst.
func AppendConfig(dst []byte, c *Config) []byte {
	dst = append(dst, configVersion)
	for _, half := range [...][]Member{c.Voters, c.Outgoing} {
		dst = binary.AppendUvarint(dst, uint64(len(half)))
		for _, m := range half {
			dst = binary.AppendUvarint(dst, uint64(m.ID))
			dst = binary.AppendUvarint(dst, uint64(m.Life))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Learners)))
	for _, l := range c.Learners {
		dst = binary.AppendUvarint(dst, uint64(l.ID))
		dst = append(dst, flagIf(l.Auto))
	}
	return dst
}

// configVersion is the first byte of an encoded configuration.
const configVersion = 1

var errConfig = errors.New("a configuration is not encoded as one")

// ParseConfig reads what AppendConfig wrote, and nothing else.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	r := reader{b: b}
	if r.byte() != configVersion {
		return c, errConfig
	}
	for _, half := range [...]*[]Member{&c.Voters, &c.Outgoing} {
		for range r.count(2) {
			*half = append(*half, Member{MemberID(r.uint()), Life(r.uint())})
		}
	}
	for range r.count(2) {
		c.Learners = append(c.Learners, Learner{MemberID(r.uint()), r.bool()})
	}
	if r.bad || len(r.b) > 0 {
		return Config{}, errConfig
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	return c, nil
}

func flagIf(b bool) byte {
	if b {
		return 1
	}
	return 0
}
