package validation

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// maxSearched bounds the objects that are searched, in bytes: the object is decoded
// once for each value.
const maxSearched = 64 << 10

// maxLeaves bounds how many values of an object are tried to find the one that does
// not fit. Objects of people have a few dozen.
const maxLeaves = 500

// misfit says which value of an object does not fit its type, as far as that can be
// found out: decoders of durations, quantities and times do not say where they are.
// decode is the decoding that failed with err.
func misfit(raw []byte, err error, decode func([]byte) error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
		return fmt.Sprintf("%s: Invalid value: %s: must be of type %s", t.Field, t.Value, t.Type)
	}
	var object map[string]any
	if len(raw) <= maxSearched && json.Unmarshal(raw, &object) == nil {
		s := search{root: object, decode: decode, left: maxLeaves}
		if path, value, found := s.among(object, ""); found {
			return fmt.Sprintf("%s: Invalid value: %s: %v", path, value, err)
		}
	}
	return fmt.Sprintf("spec: Invalid value: %v", err)
}

// search looks for the value without which an object decodes.
type search struct {
	root   map[string]any
	decode func([]byte) error
	left   int // values that may still be tried
}

// among tries the members of an object of JSON, in order, and those below.
func (s *search) among(object map[string]any, path string) (string, string, bool) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		old, at := object[key], join(path, key)
		put := func(v any) {
			object[key] = v
			if v == nil { // null does not fit every type
				delete(object, key)
			}
		}
		if found, value, ok := s.at(old, at, put); ok {
			return found, value, true
		}
	}
	return "", "", false
}

// at tries one value, or those in it.
func (s *search) at(value any, path string, put func(any)) (string, string, bool) {
	switch v := value.(type) {
	case map[string]any:
		return s.among(v, path)
	case []any:
		for i := range v {
			found, text, ok := s.at(v[i], path+"["+strconv.Itoa(i)+"]", func(x any) { v[i] = x })
			if ok {
				return found, text, true
			}
		}
		return "", "", false
	case nil:
		return "", "", false
	}
	if s.left--; s.left < 0 {
		return "", "", false
	}
	put(nil)
	defer put(value)
	if !s.decodes() {
		return "", "", false
	}
	text, err := json.Marshal(value)
	return path, string(text), err == nil
}

func (s *search) decodes() bool {
	raw, err := json.Marshal(s.root)
	return err == nil && s.decode(raw) == nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
