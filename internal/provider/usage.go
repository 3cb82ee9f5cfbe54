package provider

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/ringback/ringback/internal/protocol"
	"github.com/ringback/ringback/internal/strictjson"
)

// maxUsage bounds a provider's usage, which is stored in the job's row: a larger one is
// reduced to its counts.
const maxUsage = 16 << 10

// usage returns a provider's usage as it is stored: bounded, without the key, and with the
// two main counts.
func (c *Client) usage(said json.RawMessage) json.RawMessage {
	if len(said) > maxUsage || c.quotesKey(gjson.ParseBytes(said)) {
		said = counts(said)
	}
	if !utf8.Valid(said) {
		said = bytes.ToValidUTF8(said, []byte("\uFFFD"))
	}
	return withTokens(said)
}

// knownCounts are what providers count.
var knownCounts = []string{
	"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
	"prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens",
	"prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
}

// counts reduces a usage to its known counts.
func counts(usage []byte) json.RawMessage {
	const longest = 16 // digits of a count
	var kept []strictjson.Field
	for p := range strictjson.Members(usage) {
		if slices.Contains(knownCounts, string(p.Name)) && len(p.Value) <= longest && protocol.IsCount(gjson.ParseBytes(p.Value)) {
			kept = append(kept, strictjson.Field{Name: string(p.Name), Value: p.Value})
		}
		if len(kept) == len(knownCounts) {
			break
		}
	}
	return strictjson.AppendObject(nil, []byte("{}"), kept...)
}

// withTokens returns a usage that always has its two main counts. Anything that is not a
// finite number counts as absent.
func withTokens(usage json.RawMessage) json.RawMessage {
	object := []byte(usage)
	if object == nil {
		object = []byte("{}")
	}
	for p := range strictjson.Members(usage) {
		if !finite(gjson.ParseBytes(p.Value)) {
			object = strictjson.Without(object, string(p.Name))
		}
	}
	for _, name := range []string{"input_tokens", "output_tokens"} {
		if !protocol.IsCount(strictjson.Get(object, name)) {
			object = strictjson.AppendObject(nil, object, strictjson.Field{Name: name, Value: []byte("0")})
		}
	}
	return object
}

// finite reports whether programs can read all numbers of a value.
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
