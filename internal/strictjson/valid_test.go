package strictjson

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestValidHowDeepSoever(t *testing.T) {
	for depth, want := range map[int]bool{1: true, 500: true, 501: true, 10_000: true, 10_001: false, 1_000_000: false} {
		text := []byte(strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("[", depth%2) + "1" + strings.Repeat("]", depth%2) + strings.Repeat("]}", depth/2))
		if got := Valid(text); got != want || got != json.Valid(text) {
			t.Errorf("%d deep: got %v, want %v; json.Valid says %v", depth, got, want, json.Valid(text))
		}
		if Valid(text[:len(text)-1]) {
			t.Errorf("%d deep, cut: got true", depth)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, text := range []string{
		"", " ", "1", "01", "-", "-0", "1.", "1.5e+3", "1e", ".5", "nul", "null", "true ", "falsey", `"`, `"\`, `"\u12"`, `"\ud800"`, `"\x"`,
		"\"\x1f\"", "\"\x7f\xff\"", "[", "[1,]", "[,1]", "[1 2]", "{}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:1}`, "\uFEFF{}", "{}{}", "\v{}",
		strings.Repeat("[", 501) + strings.Repeat("]", 501),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := Valid(text), json.Valid(text); got != want {
			t.Fatalf("got %v, json.Valid says %v of %q", got, want, text)
		}
	})
}
