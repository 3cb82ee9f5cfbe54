// Package strictjson reads and writes JSON without encoding/json. It decodes requests
// strictly, writes the canonical forms that idempotency compares and that webhooks have,
// and cuts and joins values byte for byte, so that numbers, unknown fields and the order of
// keys stay as they were written.
//
//	parse.go      one JSON object, parsed strictly; names.go finds duplicate names
//	decode.go     a request's fields, by a function that reads each
//	error.go      what is wrong with a body, and where
//	value.go      members and elements of a value that has been parsed
//	canonical.go  the one form of all spellings of an object; canonical_small.go that of
//	              its small parts; decimal.go that of numbers
//	javascript.go the bytes that JavaScript would write, which webhooks have;
//	              javascript_object.go, _string.go and _number.go are parts of it
//	walk.go       takes a provider's objects and arrays apart, valid or not
//	object.go     puts objects together and quotes strings; unquote.go reads strings
//	valid.go      whether a text is JSON, or was meant to be
//	depth.go      how deeply it is nested, how many names it has
package strictjson
