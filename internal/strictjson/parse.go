package strictjson

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The bounds on the form of a body.
const (
	maxDepth = 100    // of nested arrays and objects
	maxNames = 10_000 // in one object
)

// usualMembers has room for the members of most requests.
const usualMembers = 8

// A Value is the text of one valid JSON value, without space around it.
type Value []byte

// ParseObject parses text as one JSON object, strictly: valid UTF-8, whole Unicode
// characters, no duplicate name in an object at any depth, nothing after it. It walks the
// text once and copies only the names.
//
// encoding/json takes three walks for the same, keeps the last of two members with one
// name, and silently replaces what is not Unicode.
func ParseObject(text []byte) ([]Field, error) {
	if at := invalidUTF8(text); at >= 0 {
		return nil, syntaxError(text, at, "this byte is not UTF-8")
	}
	s := scanner{text: text}
	s.space()
	if s.peek() != '{' {
		return nil, syntaxError(text, s.at, "a JSON object is wanted, beginning with {")
	}
	members := make([]Field, 0, usualMembers)
	err := s.object(func(name, val span) error {
		members = append(members, Field{Unescape(text[name.from:name.to]), text[val.from:val.to]})
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.space()
	if s.at < len(text) {
		return nil, syntaxError(text, s.at, "something follows the JSON object")
	}
	return members, nil
}

// span is text[from:to]; for a string, without its quotes.
type span struct{ from, to int }

// A scanner walks JSON and stops at the first byte that is wrong.
type scanner struct {
	text  []byte
	at    int
	depth int
	names nameSet
}

func (s *scanner) value() error {
	switch c := s.peek(); {
	case c == '"':
		_, err := s.string()
		return err
	case c == '{':
		return s.object(nil)
	case c == '[':
		return s.array(nil)
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		return s.unexpected("a value")
	}
}

// object reads an object and calls each, if set, for every member in turn.
func (s *scanner) object(each func(name, val span) error) error {
	if err := s.open(); err != nil {
		return err
	}
	first := s.names.open()
	s.space()
	for more := s.peek() != '}'; more; {
		name, val, err := s.member()
		if err != nil {
			return err
		}
		if err := s.names.add(s.text, first, name); err != nil {
			return err
		}
		if each != nil {
			if err := each(name, val); err != nil {
				return err
			}
		}
		if more, err = s.comma('}'); err != nil {
			return err
		}
	}
	s.at++
	s.depth--
	return s.names.close(s.text, first)
}

// member reads a name, its colon and its value.
func (s *scanner) member() (name, val span, err error) {
	if s.peek() != '"' {
		return name, val, s.unexpected("a name in double quotes")
	}
	if name, err = s.string(); err != nil {
		return name, val, err
	}
	s.space()
	if s.peek() != ':' {
		return name, val, s.unexpected("a colon")
	}
	s.at++
	s.space()
	val.from = s.at
	if err := s.value(); err != nil {
		return name, val, Within(Unescape(s.text[name.from:name.to]), err)
	}
	val.to = s.at
	return name, val, nil
}

func (s *scanner) array(each func(val span) error) error {
	if err := s.open(); err != nil {
		return err
	}
	s.space()
	i := 0
	for more := s.peek() != ']'; more; i++ {
		from := s.at
		err := s.value()
		if err != nil {
			return Within(Index(i), err)
		}
		if each != nil {
			if err := each(span{from, s.at}); err != nil {
				return err
			}
		}
		if more, err = s.comma(']'); err != nil {
			return err
		}
	}
	s.at++
	s.depth--
	return nil
}

// open steps over the bracket that begins an array or object.
func (s *scanner) open() error {
	s.depth++
	if s.depth > maxDepth {
		return syntaxError(s.text, s.at, fmt.Sprintf("arrays and objects stand more than %d deep in each other", maxDepth))
	}
	s.at++
	return nil
}

// comma reads what follows a member: a comma, after which there is another member, or the
// end, before which it stops.
func (s *scanner) comma(end byte) (more bool, err error) {
	s.space()
	switch s.peek() {
	case ',':
		s.at++
		s.space()
		return true, nil
	case end:
		return false, nil
	default:
		return false, s.unexpected("a comma or " + string(end))
	}
}

// string reads a string and returns what is between its quotes.
func (s *scanner) string() (span, error) {
	s.at++
	from := s.at
	for {
		s.at += plainPrefix(s.text[s.at:])
		switch c := s.peek(); {
		case c == '"':
			s.at++
			return span{from, s.at - 1}, nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return span{}, err
			}
		case s.at >= len(s.text):
			return span{}, syntaxError(s.text, s.at, "the text ends inside a string")
		default:
			return span{}, syntaxError(s.text, s.at, fmt.Sprintf(`a control character stands in a string; write it as \u%04x`, c))
		}
	}
}

// plainPrefix returns how many bytes of text precede the first quote, backslash or control
// character. It looks at eight bytes at once: a byte of w-n borrows, and so sets its top
// bit, exactly where that byte of w is below n (and, after the first such byte, perhaps
// elsewhere; only the first one counts).
func plainPrefix(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, slash := w^ones*'"', w^ones*'\\' // zero where they are
		hits := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

// escape reads a backslash and what belongs to it.
func (s *scanner) escape() error {
	rest := s.text[s.at:]
	if len(rest) >= 2 {
		switch rest[1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			s.at += 2
			return nil
		}
	}
	unit, ok := hexUnit(rest)
	if !ok {
		return syntaxError(s.text, s.at, `a backslash begins no escape that JSON knows; write it as \\`)
	}
	s.at += len(`\uXXXX`)
	if !utf16.IsSurrogate(unit) {
		return nil
	}
	if low, ok := hexUnit(s.text[s.at:]); ok && isPair(unit, low) {
		s.at += len(`\uXXXX`)
		return nil
	}
	return syntaxError(s.text, s.at-len(`\uXXXX`), fmt.Sprintf(`\u%04x is half of a character; was the text cut there?`, unit))
}

// number reads a number after RFC 8259, section 6.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.unexpected("a digit")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	from := s.at
	for isDigit(s.peek()) {
		s.at++
	}
	return s.at > from
}

func (s *scanner) word(w string) error {
	if !bytes.HasPrefix(s.text[s.at:], []byte(w)) {
		return s.unexpected("a value")
	}
	s.at += len(w)
	return nil
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end. No JSON contains a bare 0.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) unexpected(wanted string) error {
	if s.at >= len(s.text) {
		return syntaxError(s.text, s.at, "the text ends where "+wanted+" is wanted")
	}
	r, _ := utf8.DecodeRune(s.text[s.at:])
	return syntaxError(s.text, s.at, fmt.Sprintf("%q stands where %s is wanted", r, wanted))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// invalidUTF8 returns where text stops being UTF-8, -1 if it never does.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}
