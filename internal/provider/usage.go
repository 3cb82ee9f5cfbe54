package provider

import (
	"encoding/json"
	"math"

	"github.com/tidwall/gjson"
)

// withTokens returns a usage that always has its two main counts. What is no finite
// number counts as absent.
func withTokens(usage json.RawMessage) json.RawMessage {
	object := []byte(usage)
	if object == nil {
		object = []byte("{}")
	}
	for p := range pairs(usage) {
		if !finite(gjson.ParseBytes(p.value)) {
			object = without(object, string(p.name))
		}
	}
	for _, name := range []string{"input_tokens", "output_tokens"} {
		if !isCount(member(object, name)) {
			object = appendObject(nil, object, field{name, []byte("0")})
		}
	}
	return object
}

// isCount reports whether a value can be a number of tokens.
func isCount(n gjson.Result) bool {
	const most = 1 << 53 // beyond it, programs lose digits
	return n.Type == gjson.Number && n.Num >= 0 && n.Num <= most
}

// finite reports whether all numbers of a value can be told by programs.
func finite(value gjson.Result) bool {
	if value.Type == gjson.Number {
		return !math.IsInf(value.Num, 0) && !math.IsNaN(value.Num)
	}
	all := true
	if value.IsObject() || value.IsArray() {
		value.ForEach(func(_, inner gjson.Result) bool {
			all = finite(inner)
			return all
		})
	}
	return all
}
