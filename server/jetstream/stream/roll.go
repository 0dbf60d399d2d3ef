package stream

import "slices"

// roll is consumers by ascending number, which is the order of their creation. The places of those that are
// gone stay until there are many.
type roll struct {
	places []rollPlace
	gone   int
}

type rollPlace struct {
	id uint32
	h  *hosted // nil: it is gone
}

// add gives a consumer its place, the last one: a number is used once.
func (r *roll) add(h *hosted) {
	if r.gone > len(r.places)/2+16 {
		r.places = slices.DeleteFunc(r.places, func(p rollPlace) bool { return p.h == nil })
		r.gone = 0
	}
	i, found := r.find(h.id)
	if found {
		if r.places[i].h == nil {
			r.gone--
		}
		r.places[i].h = h
		return
	}
	r.places = slices.Insert(r.places, i, rollPlace{h.id, h})
}

// remove empties the place of a consumer.
func (r *roll) remove(id uint32) {
	if i, found := r.find(id); found && r.places[i].h != nil {
		r.places[i].h = nil
		r.gone++
	}
}

// get is the consumer of a number, or nil.
func (r *roll) get(id uint32) *hosted {
	if i, found := r.find(id); found {
		return r.places[i].h
	}
	return nil
}

// all are the consumers in order.
func (r *roll) all() []*hosted {
	list := make([]*hosted, 0, len(r.places)-r.gone)
	for _, p := range r.places {
		if p.h != nil {
			list = append(list, p.h)
		}
	}
	return list
}

// find is where a number stands, or would stand. Where none below it is missing, that takes one step.
func (r *roll) find(id uint32) (i int, found bool) {
	low, high := 0, len(r.places)
	switch {
	case high == 0 || id > r.places[high-1].id:
		return high, false
	case id < r.places[0].id:
		return 0, false
	}
	if most := int(id - r.places[0].id); most < high {
		if r.places[most].id == id {
			return most, true
		}
		high = most
	}
	for low < high {
		mid := int(uint(low+high) >> 1)
		if r.places[mid].id < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(r.places) && r.places[low].id == id
}
