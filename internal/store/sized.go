package store

import "encoding/json"

// The most bytes, in SQL, with which a column is read whose size was chosen by a caller, a
// provider or a receiver. What we write is far smaller; older versions, or edits by hand,
// may have left more. Larger values are left out, so that no row can be too large for a
// reader of many.
const (
	MostOptions  = "131072"
	MostMetadata = "32768"
	MostUsage    = "32768"
	MostText     = "16384" // an error, its detail, a list of models, a URL, an answer of a receiver
	MostName     = "4096"  // a model, an id, an idempotency key
)

// NoOptions are the options of a job whose own have been deleted, or could not be read.
const NoOptions = "{}"

// Sized are columns of a job's row as they were read; nil is one that was left out. An
// empty Fallbacks, Usage or Detail means none.
type Sized struct{ Fallbacks, Options, Metadata, Usage, Detail []byte }

// Into sets the columns' fields. A job is Unreadable if the caller's own columns can't be
// read; unreadable columns that only matter to readers of an ended job are left out.
func (c Sized) Into(j *Job) {
	j.Unreadable = unreadable("options", c.Options, &j.Options)
	if string(c.Options) == NoOptions && !j.ContentGone {
		j.Unreadable = "its options are missing"
	}
	if fault := unreadable("fallback models", c.Fallbacks, &j.Fallbacks); fault != "" {
		j.Unreadable = fault
	}
	j.Metadata = c.Metadata
	if !json.Valid(c.Metadata) {
		j.Metadata, j.Unreadable = json.RawMessage("{}"), "its metadata "+faultOf(c.Metadata)
	}
	j.Usage = UsageOf(c.Usage)
	if j.ErrorDetail = nil; unreadable("error's detail", c.Detail, &j.ErrorDetail) != "" {
		j.ErrorDetail = nil
	}
}

// UsageOf returns a column of usage: nil if there is none, or it can't be read.
func UsageOf(column []byte) json.RawMessage {
	if !json.Valid(column) {
		return nil
	}
	return column
}

// unreadable parses a column of JSON into v. It returns what is wrong with it, "" if
// nothing is.
func unreadable[T any](name string, column []byte, v *T) string {
	if column != nil && len(column) == 0 {
		return ""
	}
	if column == nil || json.Unmarshal(column, v) != nil {
		return "its " + name + " " + faultOf(column)
	}
	return ""
}

func faultOf(column []byte) string {
	if column == nil {
		return "are too large"
	}
	return "are broken"
}

// Address sets what a job's options, as they were read, contain for a delivery to host.
// Anything unreadable is left out: the webhook is still signed.
func (p *Payload) Address(options []byte, host string) {
	var o Options
	_ = unreadable("options", options, &o)
	p.Header, p.TraceParent, p.TraceState = o.HeadersFor(host), o.TraceParent, o.TraceState
}
