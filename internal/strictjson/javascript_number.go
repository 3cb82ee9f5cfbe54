package strictjson

import (
	"math"
	"strconv"
)

// exactDigits is how many significant decimal digits a double always preserves, so that a
// decimal with no more digits is the shortest that reads back the same.
const exactDigits = 15

func (c *javaScript) number() error {
	start := c.pos
	digits, fraction, exponent, err := c.scanNumber()
	if err != nil {
		return err
	}
	text := c.in[start:c.pos]
	switch {
	case fraction == 0 && !exponent && string(text) != "-0":
		c.keep(start, c.pos) // an integer, of any length
	case fraction > 0 && !exponent && digits <= exactDigits && isShortest(text):
		c.keep(start, c.pos)
	default:
		c.double(start)
	}
	return nil
}

// isShortest reports whether a decimal without exponent and of at most exactDigits
// digits is what JavaScript would write.
func isShortest(text []byte) bool {
	// JavaScript changes to an exponent below 1e-6, that is, after five zeros. Zero and
	// numbers that begin with a zero are left to double.
	return text[len(text)-1] != '0' && text[0] != '0' && text[0] != '-'
}

// scanNumber reads a number by JSON's grammar: how many digits it has, how many of them
// after the point, and whether there is an exponent.
func (c *javaScript) scanNumber() (digits, fraction int, exponent bool, err error) {
	if c.at('-') {
		c.pos++
	}
	if c.at('0') {
		c.pos++
		digits = 1
	} else if digits, err = c.digits(); err != nil {
		return 0, 0, false, err
	}
	if c.at('.') {
		c.pos++
		if fraction, err = c.digits(); err != nil {
			return 0, 0, false, err
		}
	}
	if c.at('e') || c.at('E') {
		c.pos++
		if c.at('+') || c.at('-') {
			c.pos++
		}
		if _, err = c.digits(); err != nil {
			return 0, 0, false, err
		}
		exponent = true
	}
	return digits + fraction, fraction, exponent, nil
}

// digits reads one digit or more.
func (c *javaScript) digits() (int, error) {
	start := c.pos
	for c.pos < len(c.in) && '0' <= c.in[c.pos] && c.in[c.pos] <= '9' {
		c.pos++
	}
	if c.pos == start {
		return 0, c.unexpected()
	}
	return c.pos - start, nil
}

// double writes the number at start:pos as JavaScript would, or unchanged if a double
// cannot hold it.
func (c *javaScript) double(start int) {
	text := string(c.in[start:c.pos])
	f, err := strconv.ParseFloat(text, 64)
	if err != nil { // out of range: the grammar has been checked
		c.keep(start, c.pos)
		return
	}
	var buf [32]byte
	if b := appendDouble(buf[:0], f); string(b) == text {
		c.keep(start, c.pos)
	} else {
		c.write(b)
	}
}

// appendDouble writes f as ECMAScript's Number::toString does.
func appendDouble(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0') // -0 too
	}
	if a := math.Abs(f); 1e-6 <= a && a < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') {
		b = append(b[:n-2], b[n-1]) // e-07 is e-7
	}
	return b
}
