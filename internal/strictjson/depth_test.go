package strictjson

import "testing"

func TestNesting(t *testing.T) {
	for text, want := range map[string]int{
		`1`: 0, `"[[["`: 0, `"\"["`: 0, `"\\"`: 0, `[]`: 1, `{"a[":"]"}`: 1, `[[],[[]]]`: 3, `{"a":{"b\\":[{}]}}`: 4,
	} {
		if got := Depth([]byte(text)); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}
