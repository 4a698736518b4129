package resourcepolicy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of what is read of a document. A quarter of a million values are far more
// than people write into a ConfigMap, and far less than aliases of aliases can stand
// for; objects that merge themselves have no end.
const (
	maxNodes  = 1 << 18
	maxMerges = 16 // of one in another
)

// Keys of the format.
const (
	keyVersion        = "version"
	keyVolumePolicies = "volumePolicies"
	keyConditions     = "conditions"
	keyAction         = "action"
	keyIncludeExclude = "includeExcludePolicy"
	keyCapacity       = "capacity"
	keyStorageClass   = "storageClass"
	keyNFS            = "nfs"
	keyCSI            = "csi"
	keyVolumeTypes    = "volumeTypes"
	keyPVCLabels      = "pvcLabels"
	keyPVCPhase       = "pvcPhase"
	keyServer         = "server"
	keyPath           = "path"
	keyDriver         = "driver"
	keyAttributes     = "volumeAttributes"
	keyType           = "type"
	keyParameters     = "parameters"

	keyIncludedCluster   = "includedClusterScopedResources"
	keyExcludedCluster   = "excludedClusterScopedResources"
	keyIncludedNamespace = "includedNamespaceScopedResources"
	keyExcludedNamespace = "excludedNamespaceScopedResources"
)

// reader turns a YAML document into policies. It works on nodes and not on values,
// for three reasons: every problem has the path of its field; scalars are texts as
// they are written, so that {backup: true} and {version: 1.10} are labels; and keys
// are compared exactly. That is what Velero's decoder does, too.
type reader struct {
	problems []string
	nodes    int // that have been read
	merges   int // of one in another, at this moment
}

// place is a node and where it is; the zero node is one that is not there.
type place struct {
	path string
	node *yaml.Node
}

func (r *reader) complain(p place, format string, args ...any) {
	r.problems = append(r.problems, p.path+": "+fmt.Sprintf(format, args...))
}

// readPolicies reads the value of a key of the ConfigMap. Without problems policies
// are complete, and not validated.
func readPolicies(key, text string) (*Policies, []string) {
	whole := "data[" + key + "]"
	document := &yaml.Node{}
	err := yaml.NewDecoder(strings.NewReader(text)).Decode(document)
	switch {
	case errors.Is(err, io.EOF): // nothing but comments
		document = &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!null"}}}
	case err != nil:
		return nil, []string{fmt.Sprintf("%s: Invalid value: %s", whole, err)}
	}
	r := &reader{}
	p := r.policies(place{path: whole, node: document.Content[0]})
	if r.nodes > maxNodes {
		return nil, []string{fmt.Sprintf("%s: Too long: must have at most %d values, aliases included", whole, maxNodes)}
	}
	return p, r.problems
}

func (r *reader) policies(p place) *Policies {
	// The document itself has no path: paths begin with its keys.
	fields := r.object(p, "", keyVersion, keyVolumePolicies, keyIncludeExclude)
	all := &Policies{Version: r.text(fields[keyVersion])}
	for _, item := range r.items(fields[keyVolumePolicies]) {
		all.VolumePolicies = append(all.VolumePolicies, r.volumePolicy(item))
	}
	if ie := fields[keyIncludeExclude]; !r.missing(ie) {
		all.IncludeExclude = r.includeExclude(ie)
	}
	return all
}

func (r *reader) volumePolicy(p place) VolumePolicy {
	fields := r.object(p, p.path, keyConditions, keyAction)
	action := fields[keyAction]
	settings := r.object(action, action.path, keyType, keyParameters)
	v := VolumePolicy{Conditions: r.conditions(fields[keyConditions])}
	v.Action.Type = ActionType(r.text(settings[keyType]))
	v.Action.Parameters = r.anything(settings[keyParameters])
	return v
}

func (r *reader) conditions(p place) Conditions {
	fields := r.object(p, p.path, keyCapacity, keyStorageClass, keyNFS, keyCSI, keyVolumeTypes, keyPVCLabels, keyPVCPhase)
	c := Conditions{
		Capacity:     r.text(fields[keyCapacity]),
		StorageClass: r.texts(fields[keyStorageClass]),
		VolumeTypes:  r.texts(fields[keyVolumeTypes]),
		PVCLabels:    r.pairs(fields[keyPVCLabels]),
		PVCPhase:     r.texts(fields[keyPVCPhase]),
	}
	if nfs := fields[keyNFS]; !r.missing(nfs) {
		of := r.object(nfs, nfs.path, keyServer, keyPath)
		c.NFS = &NFS{Server: r.text(of[keyServer]), Path: r.text(of[keyPath])}
	}
	if csi := fields[keyCSI]; !r.missing(csi) {
		of := r.object(csi, csi.path, keyDriver, keyAttributes)
		c.CSI = &CSI{Driver: r.text(of[keyDriver]), VolumeAttributes: r.pairs(of[keyAttributes])}
	}
	return c
}

func (r *reader) includeExclude(p place) *IncludeExcludePolicy {
	fields := r.object(p, p.path, keyIncludedCluster, keyExcludedCluster, keyIncludedNamespace, keyExcludedNamespace)
	return &IncludeExcludePolicy{
		IncludedClusterScopedResources:   r.texts(fields[keyIncludedCluster]),
		ExcludedClusterScopedResources:   r.texts(fields[keyExcludedCluster]),
		IncludedNamespaceScopedResources: r.texts(fields[keyIncludedNamespace]),
		ExcludedNamespaceScopedResources: r.texts(fields[keyExcludedNamespace]),
	}
}

// missing says whether nothing, or null, is written there.
func (r *reader) missing(p place) bool {
	n := follow(p.node)
	return n == nil || isNull(n)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// expect returns the node when it is there and of the kind.
func (r *reader) expect(p place, kind yaml.Kind, what string) *yaml.Node {
	if r.missing(p) {
		return nil
	}
	r.nodes++
	n := follow(p.node)
	if n.Kind != kind {
		r.complain(p, "Invalid type: must be %s", what)
		return nil
	}
	return n
}

// object returns the fields of a mapping by their names, and complains of others.
// prefix is what the paths of the fields begin with.
func (r *reader) object(p place, prefix string, known ...string) map[string]place {
	fields := r.entries(p, prefix, "an object")
	for _, name := range slices.Sorted(keysOf(fields)) {
		if !slices.Contains(known, name) {
			r.complain(fields[name], "Unknown field: supported fields: %s", strings.Join(known, ", "))
			delete(fields, name)
		}
	}
	return fields
}

func keysOf(fields map[string]place) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range fields {
			if !yield(name) {
				return
			}
		}
	}
}

// entries returns what a mapping holds. What it merges ("<<") counts where it has
// no key of its own.
func (r *reader) entries(p place, prefix, what string) map[string]place {
	fields := map[string]place{}
	n := r.expect(p, yaml.MappingNode, what)
	if n == nil {
		return fields
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content) && r.nodes <= maxNodes; i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		at := place{path: name.Value, node: value}
		if prefix != "" {
			at.path = prefix + "." + name.Value
		}
		_, twice := fields[name.Value]
		switch {
		case name.ShortTag() == "!!merge":
			merged = append(merged, value)
		case name.Kind != yaml.ScalarNode:
			r.complain(p, "Invalid type: must have texts as keys")
		case twice:
			r.complain(at, "Duplicate value: must be given once")
		default:
			fields[name.Value] = at
		}
	}
	for _, m := range merged {
		r.merge(fields, place{path: p.path, node: m}, prefix)
	}
	return fields
}

// merge adds the fields of a mapping, or of several, that are not there yet.
func (r *reader) merge(fields map[string]place, p place, prefix string) {
	r.merges++
	defer func() { r.merges-- }()
	if r.merges > maxMerges {
		r.complain(p, "Invalid value: must not merge objects more than %d times into each other", maxMerges)
		return
	}
	sources := []place{p}
	if n := follow(p.node); n != nil && n.Kind == yaml.SequenceNode {
		sources = r.items(p)
	}
	for _, source := range sources {
		if r.nodes > maxNodes {
			return
		}
		for name, at := range r.entries(source, prefix, "an object to merge") {
			if _, own := fields[name]; !own {
				fields[name] = at
			}
		}
	}
}

// items returns the entries of a list.
func (r *reader) items(p place) []place {
	n := r.expect(p, yaml.SequenceNode, "a list")
	if n == nil {
		return nil
	}
	var items []place
	for i, item := range n.Content {
		if r.nodes > maxNodes {
			return nil
		}
		items = append(items, place{path: p.path + "[" + strconv.Itoa(i) + "]", node: item})
	}
	return items
}

func (r *reader) text(p place) string {
	n := r.expect(p, yaml.ScalarNode, "a text")
	if n == nil {
		return ""
	}
	return n.Value
}

func (r *reader) texts(p place) []string {
	var all []string
	for _, item := range r.items(p) {
		all = append(all, r.text(item))
	}
	return all
}

func (r *reader) pairs(p place) map[string]string {
	fields := r.entries(p, p.path, "an object with texts")
	if len(fields) == 0 {
		return nil
	}
	all := make(map[string]string, len(fields))
	for _, name := range slices.Sorted(keysOf(fields)) {
		all[name] = r.text(fields[name])
	}
	return all
}

// anything returns an object whose content nobody here looks at.
func (r *reader) anything(p place) map[string]any {
	n := r.expect(p, yaml.MappingNode, "an object")
	if n == nil {
		return nil
	}
	var all map[string]any
	if err := n.Decode(&all); err != nil {
		r.complain(p, "Invalid value: %s", err)
	}
	return all
}
