// Package strictjson reads and writes JSON without decoding it: values are cut out of
// their text and joined again byte for byte, so that numbers, unknown fields and the
// order of keys stay as they were written.
//
//	walk.go    objects and arrays taken apart
//	object.go  objects put together; strings quoted and unquoted
//	valid.go   whether a text is JSON, or was meant to be
//	depth.go   how deep it is nested, how many names it has
package strictjson
