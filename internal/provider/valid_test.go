package provider

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestValidHowDeepSoever(t *testing.T) {
	for depth, want := range map[int]bool{1: true, 500: true, 501: true, 10_000: true, 10_001: false, 1_000_000: false} {
		text := []byte(strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("[", depth%2) + "1" + strings.Repeat("]", depth%2) + strings.Repeat("]}", depth/2))
		if got := valid(text); got != want || got != json.Valid(text) {
			t.Errorf("%d deep: got %v, want %v; json.Valid says %v", depth, got, want, json.Valid(text))
		}
		if valid(text[:len(text)-1]) {
			t.Errorf("%d deep, cut: got true", depth)
		}
	}
}

// FuzzValid holds that valid is json.Valid.
func FuzzValid(f *testing.F) {
	for _, text := range []string{
		"", " ", "1", "01", "-", "-0", "1.", "1.5e+3", "1e", ".5", "nul", "null", "true ", "falsey", `"`, `"\`, `"\u12"`, `"\ud800"`, `"\x"`,
		"\"\x1f\"", "\"\x7f\xff\"", "[", "[1,]", "[,1]", "[1 2]", "{}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:1}`, "\uFEFF{}", "{}{}", "\v{}",
		strings.Repeat("[", 501) + strings.Repeat("]", 501),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := valid(text), json.Valid(text); got != want {
			t.Fatalf("got %v, json.Valid says %v of %q", got, want, text)
		}
	})
}

// Servers that are written in Python send numbers that JSON does not have.
func TestNumbersThatJSONDoesNotHaveAreNull(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":NaN,"b":[Infinity,-Infinity,-1],"c":"NaN \" -Infinity"}`: `{"a":null,"b":[null,null,-1],"c":"NaN \" -Infinity"}`,
		`{"a":"NaN"}`: `{"a":"NaN"}`,
		`NaN`:         `null`,
		`{"a":NaN`:    "",
		`{"a":NaNa}`:  "",
		`{"a":-NaN}`:  "",
		`{"a":"NaN`:   "",
	} {
		if got, ok := readable([]byte(text)); ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, ok, want)
		}
	}
}
