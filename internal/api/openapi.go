package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/openapi"
	"github.com/ringback/ringback/internal/swaggerui"
)

// documentation serves the description of the API.
type documentation struct {
	document func() ([]byte, error) // OpenAPI's, made once when it is first requested
}

// GET /openapi.json: the table of routes, for machines.
func (h documentation) openapi(context.Context, *call) (reply, error) {
	text, err := h.document()
	return reply{raw: &rawBody{contentType: "application/json", bytes: text, shared: true}}, err
}

// describe returns the document of a table. The server uses the same table, so that the two
// can't differ.
func describe(version string, table []route, providerHeaders []string) ([]byte, error) {
	described := make([]openapi.Route, len(table))
	for i, rt := range table {
		described[i] = openapi.Route{
			About: rt.about, Method: rt.method, Path: rt.path, Query: rt.query, Body: openapi.Body(rt.body), Open: rt.open, Token: rt.token,
			Errors: append(rt.refusals(), rt.errors...),
		}
	}
	return openapi.Document(version, described, statusOf, providerHeaders)
}

// refusals returns the errors that a request may get on its way to the handler.
func (rt route) refusals() []ringback.Code {
	met := codes{ringback.Misdirected, ringback.Loop, ringback.InvalidRequest, ringback.Internal}
	if !rt.open {
		met = append(met, ringback.Unauthorized)
	}
	if rt.method != http.MethodGet {
		met = append(met, ringback.Forbidden)
	}
	if rt.body != noBody {
		met = append(met, ringback.UnsupportedMediaType, ringback.TooLarge)
	}
	if !rt.about.Unready { // that route never lacks memory or the store
		met = append(met, ringback.Unavailable)
	}
	return met
}

type codes []ringback.Code

// a and one name a type in the table of routes.
func a[T any]() reflect.Type     { return reflect.TypeFor[T]() }
func one[T any]() []reflect.Type { return []reflect.Type{reflect.TypeFor[T]()} }

// GET /docs: the page that shows the document.
func (h documentation) page(_ context.Context, c *call) (reply, error) {
	return file(c, swaggerui.Page)
}

// GET /docs/{file}: the files of the page.
func (h documentation) file(_ context.Context, c *call) (reply, error) {
	return file(c, strings.TrimPrefix(c.path, "/docs/"))
}

// file answers with one file, compressed as it is stored if the client accepts that.
func file(c *call, name string) (reply, error) {
	f, ok := swaggerui.Files[name]
	if !ok {
		return reply{}, &ringback.Error{Code: ringback.NotFound, Message: fmt.Sprintf("the page at /docs has no file %q", name)}
	}
	header := http.Header{
		"Content-Security-Policy": {swaggerui.Policy},
		"Referrer-Policy":         {"no-referrer"},
		"Vary":                    {"Accept-Encoding"},
	}
	raw := &rawBody{contentType: f.ContentType, bytes: f.Bytes, shared: true}
	switch {
	case !f.Gzipped:
	case takesGzip(c.header):
		header.Set("Content-Encoding", "gzip")
	default:
		var err error
		if raw.bytes, err = unpacked[name](); err != nil {
			return reply{}, fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	return reply{header: header, raw: raw}, nil
}

// unpacked are the compressed files, for clients that do not accept that: unpacked once for
// all requests.
var unpacked = func() map[string]func() ([]byte, error) {
	all := map[string]func() ([]byte, error){}
	for name, f := range swaggerui.Files {
		if f.Gzipped {
			all[name] = sync.OnceValues(func() ([]byte, error) { return gunzip(f.Bytes) })
		}
	}
	return all
}()

// takesGzip parses Accept-Encoding as browsers and programs usually write it; any other
// form is served without compression.
func takesGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			return true
		}
	}
	return false
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
