package wire

import (
	"encoding/json"
	"strings"
	"unicode"
)

const redacted = "[REDACTED]"

// RedactConnect copies the JSON of a CONNECT for a log, with the values of secret
// keys replaced. What is not valid JSON is replaced whole, since nothing tells then
// where a secret begins.
func RedactConnect(arg []byte) string {
	if !json.Valid(arg) {
		return redacted + " (not valid JSON)"
	}
	var out strings.Builder
	for i := 0; i < len(arg); {
		if arg[i] != '"' {
			out.WriteByte(arg[i])
			i++
			continue
		}
		end := stringEnd(arg, i)
		out.Write(arg[i:end])
		colon := skipSpace(arg, end)
		if colon == len(arg) || arg[colon] != ':' || !isSecret(arg[i:end]) {
			i = end
			continue
		}
		out.WriteString(`:"` + redacted + `"`)
		i = valueEnd(arg, skipSpace(arg, colon+1))
	}
	return out.String()
}

// isSecret judges a quoted key, as loosely as keys are matched when they are read.
func isSecret(quoted []byte) bool {
	var key string
	if err := json.Unmarshal(quoted, &key); err != nil {
		return true
	}
	key = strings.Map(foldRune, key)
	switch key {
	case "sig", "proxy_sig", "nkey", "jwt": // a bearer JWT opens the door alone
		return true
	}
	return strings.HasPrefix(key, "pass") || strings.HasPrefix(key, "auth_token")
}

// foldRune maps what folds to an ASCII letter to that letter: the long s and the
// Kelvin sign are such.
func foldRune(r rune) rune {
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if 'a' <= f && f <= 'z' {
			return f
		}
	}
	return r
}

// stringEnd is the index behind the string that begins at i of valid JSON.
func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (isBlank(b[i]) || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// valueEnd is the index behind the value that begins at i of valid JSON.
func valueEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
