package wire

// The verbs each side reads. None of them is the beginning of another.
var (
	serverVerbs = []Verb{VerbPub, VerbHpub, VerbSub, VerbUnsub, VerbPing, VerbPong, VerbConnect, VerbInfo, VerbOK, VerbErr}
	clientVerbs = []Verb{VerbMsg, VerbHmsg, VerbPing, VerbPong, VerbOK, VerbErr, VerbInfo}
)

// sameLetter compares without case; want is upper case or a sign.
func sameLetter(got, want byte) bool {
	return got == want || want >= 'A' && got == want|0x20
}

// wholeVerb tells which verb in begins with, and its length; 0 when there is none.
func wholeVerb(in []byte, verbs []Verb) (Verb, int) {
	for _, v := range verbs {
		name := verbNames[v]
		if len(in) < len(name) || !sameLetter(in[0], name[0]) {
			continue
		}
		i := 1
		for i < len(name) && sameLetter(in[i], name[i]) {
			i++
		}
		if i == len(name) {
			return v, i
		}
	}
	return VerbNone, 0
}

// verbOf tells which verb the letters are, and whether they are one or the
// beginning of one.
func verbOf(letters []byte, verbs []Verb) (verb Verb, begins bool) {
	for _, v := range verbs {
		name := verbNames[v]
		i := 0
		for i < len(name) && i < len(letters) && sameLetter(letters[i], name[i]) {
			i++
		}
		if i == len(letters) {
			if i == len(name) {
				return v, true
			}
			begins = true
		}
	}
	return VerbNone, begins
}

// stageAfter is where reading goes on behind a verb. CONNECT and INFO may be
// followed by their JSON at once.
func stageAfter(v Verb) stage {
	switch v {
	case VerbPing, VerbPong, VerbOK:
		return stageTail
	case VerbConnect, VerbInfo:
		return stageBlanks
	}
	return stageSeparator
}

func hasPayload(v Verb) bool {
	switch v {
	case VerbPub, VerbHpub, VerbMsg, VerbHmsg, VerbRmsg, VerbLmsg:
		return true
	}
	return false
}

// parseArgs fills op from the arguments of its verb. It gives the announced size of
// header block and body of the verbs that have a payload.
func parseArgs(verb Verb, args []byte, op *Op) (size int, err error) {
	var f [6][]byte
	n := 0
	switch verb {
	case VerbConnect, VerbInfo, VerbErr:
		op.Arg = args
		return 0, nil
	case VerbSub, VerbUnsub:
		n = split(args, &f, true)
	default:
		n = split(args, &f, false)
	}
	switch verb {
	case VerbPub:
		return op.publish(args, f[:n], 0)
	case VerbHpub:
		return op.publish(args, f[:n], 1)
	case VerbMsg:
		return op.message(args, f[:n], 0)
	case VerbHmsg:
		return op.message(args, f[:n], 1)
	case VerbSub:
		switch n {
		case 2:
			op.Subject, op.SID = f[0], f[1]
		case 3:
			op.Subject, op.Queue, op.SID = f[0], f[1], f[2]
		default:
			return 0, parseError(ErrMalformed, verb, "wants subject [queue] sid", args)
		}
	case VerbUnsub:
		switch n {
		case 1:
			op.SID = f[0]
		case 2:
			op.SID = f[0]
			op.Max = max(parseSize(f[1]), 0)
		default:
			return 0, parseError(ErrMalformed, verb, "wants sid [max]", args)
		}
	}
	return 0, nil
}

// publish reads `subject [reply] [header] size`; headers is how many sizes
// precede the last.
func (op *Op) publish(args []byte, f [][]byte, headers int) (size int, err error) {
	if n := len(f) - headers; n != 2 && n != 3 {
		return 0, parseError(ErrMalformed, op.Verb, "wants subject [reply] and sizes", args)
	}
	op.Subject = f[0]
	if len(f)-headers == 3 {
		op.Reply = f[1]
	}
	return op.sizes(args, f, headers)
}

// message reads `subject sid [reply] [header] size`.
func (op *Op) message(args []byte, f [][]byte, headers int) (size int, err error) {
	if n := len(f) - headers; n != 3 && n != 4 {
		return 0, parseError(ErrMalformed, op.Verb, "wants subject sid [reply] and sizes", args)
	}
	op.Subject, op.SID = f[0], f[1]
	if len(f)-headers == 4 {
		op.Reply = f[2]
	}
	return op.sizes(args, f, headers)
}

func (op *Op) sizes(args []byte, f [][]byte, headers int) (size int, err error) {
	size = parseSize(f[len(f)-1])
	if size < 0 {
		return 0, parseError(ErrMalformed, op.Verb, "bad or missing size, wants 1 to 9 digits", args)
	}
	if headers == 0 {
		return size, nil
	}
	op.Header = parseSize(f[len(f)-2])
	if op.Header < 0 {
		return 0, parseError(ErrMalformed, op.Verb, "bad or missing header size, wants 1 to 9 digits", args)
	}
	if op.Header > size {
		return 0, parseError(ErrMalformed, op.Verb, "header size is larger than the total size", args)
	}
	return size, nil
}

// split cuts args at blanks, and at CR and LF when lines is set. It stops at the
// sixth field, which is one more than any verb takes.
func split(args []byte, f *[6][]byte, lines bool) int {
	n, start := 0, -1
	for i, b := range args {
		if b == ' ' || b == '\t' || lines && (b == '\r' || b == '\n') {
			if start >= 0 {
				f[n] = args[start:i:i]
				if n++; n == len(f) {
					return n
				}
				start = -1
			}
		} else if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		f[n] = args[start:]
		n++
	}
	return n
}

// parseSize reads 1 to 9 digits; -1 for anything else.
func parseSize(b []byte) int {
	if len(b) == 0 || len(b) > sizeDigitsMax {
		return -1
	}
	n := 0
	for _, c := range b {
		if c -= '0'; c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }
