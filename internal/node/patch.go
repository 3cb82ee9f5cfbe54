package node

import "github.com/tidwall/gjson"

// mergePatch applies a JSON merge patch (RFC 7396) to a document; both must be
// valid JSON, and no object of them may have a name twice. Members that the
// patch does not name stay as they were written, numbers too, in their order.
func mergePatch(document, patch []byte) []byte {
	change := gjson.ParseBytes(patch)
	if !change.IsObject() {
		return []byte(change.Raw)
	}
	changes := change.Map()
	merged := object("{")
	if old := gjson.ParseBytes(document); old.IsObject() {
		old.ForEach(func(name, value gjson.Result) bool {
			by, changed := changes[name.Str]
			delete(changes, name.Str)
			switch {
			case !changed:
				merged.add(name.Raw, []byte(value.Raw))
			case by.Type != gjson.Null:
				merged.add(name.Raw, mergePatch([]byte(value.Raw), []byte(by.Raw)))
			}
			return true
		})
	}
	change.ForEach(func(name, value gjson.Result) bool { // in the order of the patch
		if _, left := changes[name.Str]; left && value.Type != gjson.Null {
			merged.add(name.Raw, mergePatch(nil, []byte(value.Raw)))
		}
		return true
	})
	return append(merged, '}')
}

// object is a JSON object without its closing brace.
type object []byte

// add appends a member; name is a JSON string.
func (o *object) add(name string, value []byte) {
	if len(*o) > len("{") {
		*o = append(*o, ',')
	}
	*o = append(append(append(*o, name...), ':'), value...)
}
