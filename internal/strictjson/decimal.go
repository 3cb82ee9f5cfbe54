package strictjson

import (
	"strconv"
	"strings"
)

// A decimal is a JSON number independent of its spelling: digits times ten to the power of
// exp. The digits neither begin nor end with a zero; zero has none.
type decimal struct {
	negative bool
	digits   string
	exp      int
}

// parseDecimal parses a JSON number; ok is false if its exponent is out of range.
func parseDecimal(text string) (d decimal, ok bool) {
	mantissa, exponent := text, "0"
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		mantissa, exponent = text[:at], text[at+1:]
	}
	exp, err := strconv.ParseInt(exponent, 10, 32)
	if err != nil {
		return d, false
	}
	mantissa, d.negative = strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	d.digits = strings.TrimRight(digits, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	d.exp = int(exp) - len(fraction) + len(digits) - len(d.digits)
	return d, true
}

// maxZeros is how many zeros appendTo writes out before it uses an exponent.
const maxZeros = 32

// appendTo appends the number as most programs write it.
func (d decimal) appendTo(dst []byte) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	point := len(d.digits) + d.exp // where it is, counted from the first digit
	switch {
	case d.digits == "":
		return append(dst, '0')
	case d.exp >= 0 && d.exp <= maxZeros:
		return append(append(dst, d.digits...), strings.Repeat("0", d.exp)...)
	case d.exp < 0 && point > 0:
		return append(append(append(dst, d.digits[:point]...), '.'), d.digits[point:]...)
	case d.exp < 0 && point > -maxZeros:
		return append(append(append(dst, "0."...), strings.Repeat("0", -point)...), d.digits...)
	}
	dst = append(append(dst, d.digits...), 'e')
	return strconv.AppendInt(dst, int64(d.exp), 10)
}
