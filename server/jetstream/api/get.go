package api

// CheckMsgGet judges what a STREAM.MSG.GET asks for.
func CheckMsgGet(r *JSApiMsgGetRequest) *Error {
	if r.Batch > 0 || r.MaxBytes > 0 || !r.selects() || r.conflicts() {
		return ErrBadRequest
	}
	return nil
}

// selects tells whether the request says which single message it is about, or begins with.
func (r *JSApiMsgGetRequest) selects() bool {
	return r.Seq > 0 || r.LastFor != "" || r.NextFor != "" || r.StartTime != nil
}

// conflicts tells whether it says so in two ways.
func (r *JSApiMsgGetRequest) conflicts() bool {
	return r.LastFor != "" && (r.Seq > 0 || r.NextFor != "" || r.StartTime != nil) ||
		r.Seq > 0 && r.StartTime != nil
}

// excludes tells whether a direct get asks for what excludes each other.
func (r *JSApiMsgGetRequest) excludes() bool {
	return r.conflicts() || r.LastFor != "" && r.Batch > 0 ||
		len(r.MultiLast) > 0 && (r.LastFor != "" || r.NextFor != "") ||
		r.UpToSeq > 0 && r.UpToTime != nil
}

// ParseDirectGet reads the body of a direct get into r, and judges it. bySubject is what its
// subject ends with, or empty. The status is [StatusEmptyRequest], [StatusMalformedRequest]
// or [StatusBadRequest] of what is refused, and otherwise empty.
func ParseDirectGet(body []byte, bySubject string, r *JSApiMsgGetRequest) (status string) {
	if len(body) > 0 && DecodeLenient(body, r) != nil {
		return StatusMalformedRequest
	}
	if bySubject != "" {
		if r.selects() || r.Batch != 0 || len(r.MultiLast) > 0 || r.UpToSeq > 0 || r.UpToTime != nil {
			return StatusBadRequest
		}
		r.LastFor = bySubject
		return ""
	}
	switch {
	case !r.selects() && len(r.MultiLast) == 0:
		return StatusEmptyRequest
	case r.excludes():
		return StatusBadRequest
	}
	return ""
}
