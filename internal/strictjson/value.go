package strictjson

// The following functions walk values that ParseObject has found valid: they only look for
// where each ends.

// EachMember calls each for the members of an object.
func (v Value) EachMember(each func(name string, val Value) error) error {
	return v.eachSpan(func(name span, val Value) error { return each(Unescape(v[name.from:name.to]), val) })
}

// eachSpan is EachMember for callers that may not want the text of a name.
func (v Value) eachSpan(each func(name span, val Value) error) error {
	for rest := v.inside(0); v[rest] != '}'; {
		name := span{rest + 1, rest + StringLen(v[rest:]) - 1}
		rest = v.skipSpace(name.to + 1)
		rest = v.skipSpace(rest + 1) // the colon
		end := rest + valueLen(v[rest:])
		if err := each(name, v[rest:end]); err != nil {
			return err
		}
		rest = v.next(end)
	}
	return nil
}

// EachElement calls each for the elements of an array.
func (v Value) EachElement(each func(i int, val Value) error) error {
	rest := v.inside(0)
	for i := 0; v[rest] != ']'; i++ {
		end := rest + valueLen(v[rest:])
		if err := each(i, v[rest:end]); err != nil {
			return err
		}
		rest = v.next(end)
	}
	return nil
}

// inside returns where the first member of an object or array is, or its end.
func (v Value) inside(at int) int { return v.skipSpace(at + 1) }

// next returns where the member after one that ends at at is, or the end of them all.
func (v Value) next(at int) int {
	if at = v.skipSpace(at); v[at] == ',' {
		return v.skipSpace(at + 1)
	}
	return at
}

func (v Value) skipSpace(at int) int {
	for v[at] <= ' ' {
		at++
	}
	return at
}
