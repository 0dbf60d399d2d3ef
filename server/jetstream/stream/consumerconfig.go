package stream

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// Configurations of consumers stand in entries and checkpoints, of which there may be very many: so they take a
// bit for each field, and something only for those that are set.
//
//	uvarint: a bit for each field that is set | what the fields are, in their order

// fields goes over a configuration's fields, three times the same way: to see which are set, to write, to read.
type fields struct {
	pass  pass
	set   uint64 // bits of fields
	bit   uint64 // of the field at hand
	name  string // of the consumer; most configurations repeat it
	out   []byte
	in    *codec.Reader
	known map[string]string // metadata that many consumers have
}

type pass uint8

const (
	looking pass = iota
	writing
	reading
)

func appendConsumerConfig(dst []byte, name string, cfg *api.ConsumerConfig) []byte {
	f := fields{bit: 1, name: name}
	f.all(cfg)
	f.out = binary.AppendUvarint(dst, f.set)
	f.pass, f.bit = writing, 1
	f.all(cfg)
	return f.out
}

func readConsumerConfig(d *codec.Reader, name string, known map[string]string) *api.ConsumerConfig {
	cfg := &api.ConsumerConfig{}
	f := fields{pass: reading, bit: 1, name: name, in: d, known: known}
	f.set = d.Uint()
	f.all(cfg)
	if f.set >= f.bit {
		d.Fail() // a later version knows what that is
	}
	if cfg.DeliverPolicy > api.DeliverLastPerSubject || cfg.AckPolicy > api.AckFlowControl ||
		cfg.ReplayPolicy > api.ReplayOriginal || cfg.PriorityPolicy > api.PriorityPrioritized {
		d.Fail()
	}
	return cfg
}

// all visits the fields. The order is on disk: new ones come last.
func (f *fields) all(c *api.ConsumerConfig) {
	f.text(&c.Durable)
	f.text(&c.Name)
	number(f, &c.AckPolicy)
	number(f, &c.AckWait)
	number(f, &c.MaxDeliver)
	number(f, &c.MaxWaiting)
	number(f, &c.MaxAckPending)
	f.text(&c.FilterSubject)
	f.labels(&c.Metadata)
	number(f, &c.DeliverPolicy)
	number(f, &c.ReplayPolicy)
	number(f, &c.InactiveThreshold)
	number(f, &c.Replicas)
	f.flag(&c.MemoryStorage)
	f.text(&c.DeliverSubject)
	f.text(&c.DeliverGroup)
	f.texts(&c.FilterSubjects)
	f.numbers(&c.BackOff)
	number(f, &c.OptStartSeq)
	f.time(&c.OptStartTime)
	f.text(&c.Description)
	number(f, &c.RateLimit)
	f.text(&c.SampleFrequency)
	f.flag(&c.FlowControl)
	f.flag(&c.HeadersOnly)
	number(f, &c.MaxRequestBatch)
	number(f, &c.MaxRequestExpires)
	number(f, &c.MaxRequestBytes)
	number(f, &c.Heartbeat)
	f.flag(&c.Direct)
	f.flag(&c.Sourcing)
	f.time(&c.PauseUntil)
	f.texts(&c.PriorityGroups)
	number(f, &c.PriorityPolicy)
	number(f, &c.PinnedTTL)
}

// has goes on to the next field, and tells whether it is to be written or read. isSet is asked when looking.
func (f *fields) has(isSet bool) bool {
	bit := f.bit
	f.bit <<= 1
	if f.pass == looking {
		if isSet {
			f.set |= bit
		}
		return false
	}
	return f.set&bit != 0
}

func (f *fields) flag(p *bool) {
	if f.has(*p) {
		*p = true
	}
}

// text is nothing where it is the consumer's name.
func (f *fields) text(p *string) {
	if !f.has(*p != "") {
		return
	}
	if f.pass == reading {
		if *p = f.in.Text(); *p == "" {
			*p = f.name
		}
		return
	}
	if *p == f.name {
		f.out = append(f.out, 0)
		return
	}
	f.out = codec.AppendBytes(f.out, *p)
}

func number[T ~int | ~int64 | ~uint8 | ~uint64](f *fields, p *T) {
	if f.has(*p != 0) {
		value(f, p)
	}
}

// value is a number that is there.
func value[T ~int | ~int64 | ~uint8 | ~uint64](f *fields, p *T) {
	if f.pass == writing {
		f.out = binary.AppendVarint(f.out, int64(*p))
		return
	}
	n := f.in.Int()
	if *p = T(n); int64(*p) != n {
		f.in.Fail()
	}
}

func (f *fields) texts(p *[]string) {
	for i := range length(f, p) {
		if f.pass == writing {
			f.out = codec.AppendBytes(f.out, (*p)[i])
		} else {
			(*p)[i] = f.in.Text()
		}
	}
}

func (f *fields) numbers(p *[]time.Duration) {
	for i := range length(f, p) {
		value(f, &(*p)[i])
	}
}

// length is how many elements of a list are to be written or read, for which there is room then.
func length[T any](f *fields, p *[]T) int {
	switch {
	case !f.has(len(*p) > 0):
		return 0
	case f.pass == writing:
		f.out = binary.AppendUvarint(f.out, uint64(len(*p)))
	default:
		*p = make([]T, f.in.Count(1))
	}
	return len(*p)
}

// time keeps the offset from UTC too, since it is shown.
func (f *fields) time(p **time.Time) {
	switch {
	case !f.has(*p != nil):
	case f.pass == writing:
		b, err := (*p).MarshalBinary()
		if err != nil {
			panic("time in a consumer configuration: " + err.Error()) // it came as text, whose offsets are whole minutes
		}
		f.out = codec.AppendBytes(f.out, b)
	default:
		t := new(time.Time)
		if t.UnmarshalBinary(f.in.Bytes()) != nil {
			f.in.Fail()
		}
		*p = t
	}
}

// labels gives equal metadata of consumers one map.
func (f *fields) labels(p *map[string]string) {
	switch {
	case !f.has(len(*p) > 0):
	case f.pass == writing:
		f.out = binary.AppendUvarint(f.out, uint64(len(*p)))
		var room [8]string
		keys := room[:0]
		for k := range *p { //lockstep:ordered sorted below
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			f.out = codec.AppendBytes(codec.AppendBytes(f.out, k), (*p)[k])
		}
	default:
		f.readLabels(p)
	}
}

func (f *fields) readLabels(p *map[string]string) {
	n, at := f.in.Count(2), f.in.P
	same := n == len(f.known)
	for range n {
		k, v := f.in.Bytes(), f.in.Bytes()
		if known, ok := f.known[string(k)]; !ok || known != string(v) {
			same = false
		}
	}
	if same || f.in.Bad {
		*p = f.known
		return
	}
	*p = make(map[string]string, n)
	d := codec.Reader{P: at}
	for range n {
		k := d.Text()
		(*p)[k] = d.Text()
	}
}
