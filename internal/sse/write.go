package sse

import "bytes"

// Append appends an event in the form of a stream. The data's lines may end only in LF; an
// empty id or type is left out.
func Append(to []byte, id, kind string, data []byte) []byte {
	to = field(to, "id", []byte(id))
	to = field(to, "event", []byte(kind))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		to = append(append(append(to, "data: "...), line...), '\n')
	}
	return append(to, '\n')
}

func field(to []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return to
	}
	return append(append(append(append(to, name...), ": "...), value...), '\n')
}

// Comment is what an idle stream sends so that proxies don't take it for dead.
const Comment = ":\n\n"
