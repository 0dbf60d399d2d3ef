package api

import (
	"maps"
	"slices"
)

// Clone gives a deep copy.
func (c *StreamConfig) Clone() *StreamConfig {
	d := *c
	d.Subjects = slices.Clone(c.Subjects)
	if c.Placement != nil {
		p := *c.Placement
		p.Tags = slices.Clone(p.Tags)
		d.Placement = &p
	}
	d.Mirror = c.Mirror.Clone()
	d.Sources = slices.Clone(c.Sources)
	for i, s := range d.Sources {
		d.Sources[i] = s.Clone()
	}
	d.SubjectTransform = clone(c.SubjectTransform)
	d.RePublish = clone(c.RePublish)
	d.Metadata = maps.Clone(c.Metadata)
	return &d
}

// Clone gives a deep copy; that of nil is nil.
func (s *StreamSource) Clone() *StreamSource {
	if s == nil {
		return nil
	}
	d := *s
	d.OptStartTime = clone(s.OptStartTime)
	d.SubjectTransforms = slices.Clone(s.SubjectTransforms)
	d.External = clone(s.External)
	d.Consumer = clone(s.Consumer)
	return &d
}

// Clone gives a deep copy.
func (c *ConsumerConfig) Clone() *ConsumerConfig {
	d := *c
	d.OptStartTime = clone(c.OptStartTime)
	d.BackOff = slices.Clone(c.BackOff)
	d.FilterSubjects = slices.Clone(c.FilterSubjects)
	d.Metadata = maps.Clone(c.Metadata)
	d.PauseUntil = clone(c.PauseUntil)
	d.PriorityGroups = slices.Clone(c.PriorityGroups)
	return &d
}

// clone copies what p points to.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
