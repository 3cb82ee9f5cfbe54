package store

import "encoding/json"

// The most bytes, in SQL, with which a column is read whose size a caller, a provider or a
// receiver chose. What is written is far smaller; older versions, and other hands, may have
// left more. A larger value is left out of what is read, so that no row can be too large
// for those who read many.
const (
	MostOptions  = "131072"
	MostMetadata = "32768"
	MostUsage    = "32768"
	MostText     = "16384" // an error, its detail, a list of models, a URL, an answer of a receiver
	MostName     = "4096"  // a model, an id, an idempotency key
)

// NoOptions are the options of a job whose own are deleted, or could not be read.
const NoOptions = "{}"

// Sized are columns of a job's row as they were read; nil is one that was left out. An empty
// Fallbacks, Usage or Detail is none.
type Sized struct{ Fallbacks, Options, Metadata, Usage, Detail []byte }

// Into sets what the columns say. A job of which the caller's own columns can't be read is
// Unreadable; of what only those read who look at an ended job, the unreadable is left out.
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

// UsageOf is a column of usage: nil if there is none, or none that can be read.
func UsageOf(column []byte) json.RawMessage {
	if !json.Valid(column) {
		return nil
	}
	return column
}

// unreadable reads a column of JSON into v. It returns what is wrong with it, "" if nothing is.
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

// Address sets what a job's options, as they were read, have for a delivery to host. What
// can't be read of them is left out: the webhook is signed all the same.
func (p *Payload) Address(options []byte, host string) {
	var o Options
	_ = unreadable("options", options, &o)
	p.Header, p.TraceParent, p.TraceState = o.HeadersFor(host), o.TraceParent, o.TraceState
}
