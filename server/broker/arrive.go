package broker

// The way of a message to a sink: copied into the publisher's batch for it, which is
// handed over at the end of the task.

// deliverToSink gives m to a subscription of a sink and tells whether it was taken.
func (p *publisher) deliverToSink(t *target, m *message) bool {
	sub := t.sub
	s := t.st
	if s == nil {
		k, ok := sub.Owner.(*Sink)
		if !ok {
			return false
		}
		s = p.stageOfSink(k)
		t.st = s
	}
	if sub.Closed() {
		return false
	}
	subj := m.seen()
	if sub.Shadow != nil {
		subj = p.localSubject(sub, m)
		sub = sub.Shadow.Origin
	}
	if wants := s.sink.options.Wants; wants != nil && !wants(subj) {
		return false
	}
	size := len(subj) + len(m.reply) + m.size()
	b := s.arrived
	if b != nil && (len(b.Messages) >= batchMsgsMax || b.Bytes+size > batchBytesMax) {
		p.handOver(s)
		b = nil
	}
	if b == nil {
		b = p.openBatch(s)
	}
	b.add(sub, subj, m, s.likely)
	p.staged += size
	return true
}

// stageOfSink finds or makes this publisher's stage of a sink.
func (p *publisher) stageOfSink(k *Sink) *stage {
	if s := p.sinks[k]; s != nil {
		return s
	}
	if p.sinks == nil {
		p.sinks = make(map[*Sink]*stage)
	}
	s := &stage{sink: k}
	p.sinks[k] = s
	return s
}

// openBatch begins what this task brings to a sink.
func (p *publisher) openBatch(s *stage) *Batch {
	if !s.touched {
		s.touched = true
		p.touched = append(p.touched, s)
	}
	b := p.b.batches.get(p.b)
	b.FromAccount = p.acc
	if s.sink.options.WithInfo {
		b.Info = p.info()
	}
	s.arrived = b
	return b
}

// handOver gives a sink what was staged for it.
func (p *publisher) handOver(s *stage) {
	b, k := s.arrived, s.sink
	if b == nil {
		return
	}
	s.arrived, s.likely = nil, b.Bytes
	n, size := int64(len(b.Messages)), int64(b.Bytes)
	bytes, msgs := k.bytes.Add(size), k.msgs.Add(n)
	if k.over(bytes, msgs, 2) {
		switch {
		case k.options.Full == nil:
			p.crowded = k
		case msgs > n: // one batch is taken however large it is
			k.bytes.Add(-size)
			k.msgs.Add(-n)
			b.from, b.sink = p, k
			k.options.Full(b, p.strand)
			return
		}
	}
	b.sink = k
	if held := k.held.Add(size); k.options.Ease > 0 && held > int64(k.options.Ease) {
		p.crowded = k
	}
	k.box.PutFrom(p.strand, b)
}
