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

// GET /openapi.json: the table of routes, for machines.
func (s *Server) openapi(context.Context, *call) (reply, error) {
	text, err := s.document()
	return reply{raw: &rawBody{contentType: "application/json", bytes: text, shared: true}}, err
}

// describe writes the document of a table. The same table serves, so that the
// two can't differ.
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

// refusals are the errors that a request meets on its way to the handler.
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
	if !rt.about.Unready { // that one is never in want of memory or of the store
		met = append(met, ringback.Unavailable)
	}
	return met
}

type codes []ringback.Code

// a and one name a type in the table of routes.
func a[T any]() reflect.Type     { return reflect.TypeFor[T]() }
func one[T any]() []reflect.Type { return []reflect.Type{reflect.TypeFor[T]()} }

// GET /docs: the page that shows the document.
func (s *Server) docs(_ context.Context, c *call) (reply, error) { return file(c, swaggerui.Page) }

// GET /docs/{file}: what the page consists of.
func (s *Server) docsFile(_ context.Context, c *call) (reply, error) {
	return file(c, strings.TrimPrefix(c.path, "/docs/"))
}

// file answers one file, compressed as it is kept where the client takes that.
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

// unpacked are the files that are kept compressed, for clients that do not take that:
// once for all of them, however many ask.
var unpacked = func() map[string]func() ([]byte, error) {
	all := map[string]func() ([]byte, error){}
	for name, f := range swaggerui.Files {
		if f.Gzipped {
			all[name] = sync.OnceValues(func() ([]byte, error) { return gunzip(f.Bytes) })
		}
	}
	return all
}()

// takesGzip reads Accept-Encoding as browsers and programs write it; whoever
// writes more is served without compression.
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
