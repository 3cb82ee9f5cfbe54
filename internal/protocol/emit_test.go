package protocol

import "testing"

func TestHalfACharacter(t *testing.T) {
	for contents, want := range map[string]int{
		"": 0, "a": 0, `\n`: 0, `\ud83d`: 6, `a\uDBFF`: 6, `\ude00`: 0, `\u0041`: 0, `\\ud83d`: 0, `\\\ud83d`: 6, `\ud83d\ude00`: 0, `\ude00\ud83d`: 6, `ud83d`: 0, `\uE83d`: 0, `\ud73d`: 0,
	} {
		if got := halfAtEnd([]byte(contents)); got != want {
			t.Errorf("%s: got %d, want %d", contents, got, want)
		}
	}
}
