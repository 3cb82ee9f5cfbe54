package provider

import (
	"testing"

	"github.com/ringback/ringback/internal/strictjson"
)

// Servers written in Python send numbers that JSON does not have.
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
		if got, ok := strictjson.Repair([]byte(text)); ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, ok, want)
		}
	}
}
