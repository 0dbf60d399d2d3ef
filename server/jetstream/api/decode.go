package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Decode reads a request's body into v. On a server that is not strict, what fails strictly
// gets a second chance.
func Decode(data []byte, v any, strict bool) *Error {
	err := DecodeStrict(data, v)
	if err != nil && !strict {
		return DecodeLenient(data, v)
	}
	return err
}

// DecodeStrict reads a request's body into v. A field that v does not know is an error, and
// so is anything after the value that is not a further value: those are read into v too,
// one after another. No value at all leaves v as it is.
func DecodeStrict(data []byte, v any) *Error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	for {
		err := d.Decode(v)
		if err == nil {
			continue
		}
		if err == io.EOF {
			return nil
		}
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return ErrInvalidJSON.With(fmt.Sprintf("%v at offset %d", err, syntax.Offset))
		}
		return ErrInvalidJSON.With(jsonText(err))
	}
}

// DecodeLenient reads a body of exactly one value into v, and passes over fields that v does
// not know.
func DecodeLenient(data []byte, v any) *Error {
	if err := json.Unmarshal(data, v); err != nil {
		return ErrInvalidJSON.With(jsonText(err))
	}
	return nil
}

// jsonText is the text of an error of encoding/json as clients see it. They see the package
// that a type is in, and it is the official server's.
func jsonText(err error) string {
	s := err.Error()
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		const of = " of type "
		if i := strings.LastIndex(s, of); i >= 0 {
			return s[:i] + strings.ReplaceAll(s[i:], "api.", "server.")
		}
	}
	return s
}

// isBlank tells whether c is white space in JSON.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// trimBlank cuts white space of JSON off both ends.
func trimBlank(data []byte) []byte {
	for len(data) > 0 && isBlank(data[0]) {
		data = data[1:]
	}
	for len(data) > 0 && isBlank(data[len(data)-1]) {
		data = data[:len(data)-1]
	}
	return data
}

// HasBody tells whether a request whose body is optional has one: whatever does not begin
// like an object or array counts as none.
func HasBody(data []byte) bool {
	for len(data) > 0 && isBlank(data[0]) {
		data = data[1:]
	}
	return len(data) > 0 && (data[0] == '{' || data[0] == '[')
}

// IsEmpty tells whether a request that must have no body has none: zero bytes, or an empty
// JSON object.
func IsEmpty(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	data = trimBlank(data)
	return len(data) >= 2 && data[0] == '{' && data[len(data)-1] == '}' && len(trimBlank(data[1:len(data)-1])) == 0
}
