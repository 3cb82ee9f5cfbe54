package intake

import "github.com/tidwall/gjson"

// mergePatch applies a JSON merge patch (RFC 7396) to a document; both must be
// valid JSON, and no object of them may have a name twice. Members that the
// patch does not name stay as they were written, numbers too, in their order.
func mergePatch(document, patch []byte) []byte {
	return appendPatched(make([]byte, 0, len(document)+len(patch)), gjson.ParseBytes(document), gjson.ParseBytes(patch))
}

// appendPatched appends the patched document. Each byte is written once, however deep
// it is nested.
func appendPatched(dst []byte, document, patch gjson.Result) []byte {
	if !patch.IsObject() {
		return append(dst, patch.Raw...)
	}
	changes := map[string]string{} // JSON by the names of the patch
	patch.ForEach(func(name, value gjson.Result) bool {
		changes[name.Str] = value.Raw
		return true
	})
	merged := object(append(dst, '{'))
	if document.IsObject() {
		document.ForEach(func(name, value gjson.Result) bool {
			by, changed := changes[name.Str]
			delete(changes, name.Str)
			switch {
			case !changed:
				merged = append(merged.name(name.Raw), value.Raw...)
			case by != "null":
				merged = appendPatched(merged.name(name.Raw), value, gjson.Parse(by))
			}
			return true
		})
	}
	patch.ForEach(func(name, value gjson.Result) bool { // in the order of the patch
		if _, left := changes[name.Str]; left && value.Type != gjson.Null {
			merged = appendPatched(merged.name(name.Raw), gjson.Result{}, value)
		}
		return true
	})
	return append(merged, '}')
}

// object is the text of a JSON object up to the end of one of its members.
type object []byte

// name begins a member; name is a JSON string.
func (o object) name(name string) object {
	if o[len(o)-1] != '{' { // no value ends so
		o = append(o, ',')
	}
	return append(append(o, name...), ':')
}
