package provider

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxUsage bounds a provider's usage, which stands in the job's row: a larger one is
// reduced to its counts.
const maxUsage = 16 << 10

// usage is what a provider says of its work as it is stored: bounded, without the key, and
// with the two main counts.
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

// counts is a usage with nothing but its known counts.
func counts(usage []byte) json.RawMessage {
	const longest = 16 // digits of a count
	var kept []field
	for p := range pairs(usage) {
		if slices.Contains(knownCounts, string(p.name)) && len(p.value) <= longest && isCount(gjson.ParseBytes(p.value)) {
			kept = append(kept, field{string(p.name), p.value})
		}
		if len(kept) == len(knownCounts) {
			break
		}
	}
	return appendObject(nil, []byte("{}"), kept...)
}

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
