// Package gateconfig reads the plugin ConfigMap that tunes the restore gate: the
// keys of Velero's (velero-facts §7.2) and one of podkeep, deadline.
//
// It is pure: callers find the ConfigMaps (Selector) and report the problems. A
// value that cannot be used falls back to its default and is a Problem, never an
// error: a restored pod must get its gate whatever a ConfigMap says. The webhook
// injects by the Config; the webhook's ConfigMap reconciler and the restore
// controller show the Problems.
package gateconfig

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Keys of the ConfigMap.
const (
	// KeyImage is the image of the gate. It needs a slash; without a tag it gets
	// the tag of the default image.
	KeyImage = "image"

	// KeyCommand is the program that the gate runs, one word.
	KeyCommand = "command"

	// KeyCPURequest, KeyMemRequest, KeyCPULimit and KeyMemLimit are quantities. A
	// limit of 0 is no limit.
	KeyCPURequest = "cpuRequest"
	KeyMemRequest = "memRequest"
	KeyCPULimit   = "cpuLimit"
	KeyMemLimit   = "memLimit"

	// KeyRunAsUser and KeyRunAsGroup are numbers.
	KeyRunAsUser  = "secCtxRunAsUser"
	KeyRunAsGroup = "secCtxRunAsGroup"

	// KeyAllowPrivilegeEscalation is true or false.
	KeyAllowPrivilegeEscalation = "secCtxAllowPrivilegeEscalation"

	// KeySecurityContext is a SecurityContext in YAML. Its fields override the
	// three keys above.
	KeySecurityContext = "secCtx"

	// KeyDeadline bounds the wait of the gate, as a Go duration. 0 and no value
	// mean that it waits for ever. Velero does not know it.
	KeyDeadline = "deadline"
)

// Defaults of Velero (velero-facts §7.2).
const (
	// DefaultCommand is in podkeep's image and in Velero's.
	DefaultCommand = "/velero-restore-helper"

	// DefaultCPU is the request and the limit of the gate.
	DefaultCPU = "100m"

	// DefaultMemory is the request and the limit of the gate.
	DefaultMemory = "128Mi"
)

// Config is how the gate looks. Parse returns it complete.
type Config struct {
	Image     string
	Command   []string
	Resources corev1.ResourceRequirements

	// ConfiguredResources are the resources of which the ConfigMap has the request
	// or the limit, usable or not. Of the others Resources has the defaults, and the
	// injector prefers what the pod has.
	ConfiguredResources []corev1.ResourceName

	// SecurityContext is nil when the ConfigMap says nothing about it; the
	// injector then takes one from the pod.
	SecurityContext *corev1.SecurityContext

	// Deadline is how long the gate waits. Zero means for ever.
	Deadline time.Duration
}

// Problem is a part of a ConfigMap that is not used, and what is used instead.
type Problem struct {
	// ConfigMap is the name of the ConfigMap, or of several, comma separated.
	ConfigMap string

	// Key is the key, "" when the problem is not with one key.
	Key string

	// Value is the value as it is written.
	Value string

	// Message says what is allowed and what is used instead.
	Message string

	// Unknown says that the key is not one of the keys of the gate. That is harmless,
	// other than a value that cannot be used.
	Unknown bool
}

// String is the problem as one sentence for people.
func (p Problem) String() string {
	if p.Key == "" {
		return p.Message
	}
	return fmt.Sprintf("data.%s: Invalid value: %q: %s", p.Key, p.Value, p.Message)
}

// Selector selects the ConfigMaps that tune the gate, in the install namespace.
func Selector() labels.Selector {
	exists, err := labels.NewRequirement(velerov1.PluginConfigLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // a constant key
	}
	kind, err := labels.NewRequirement(velerov1.PodVolumeRestoreLabel, selection.Equals, []string{velerov1.RestoreItemActionKind})
	if err != nil {
		panic(err) // a constant key and value
	}
	return labels.NewSelector().Add(*exists, *kind)
}

// Parse reads the ConfigMaps that Selector selects. image is the default image.
//
// No ConfigMap gives the defaults. More than one gives the defaults and a
// Problem: which of them is meant cannot be told, and Velero refuses to choose
// as well. Problems are sorted by key.
func Parse(maps []corev1.ConfigMap, image string) (Config, []Problem) {
	p := parser{image: image}
	switch len(maps) {
	case 0:
	case 1:
		p.configMap, p.data = maps[0].Name, maps[0].Data
	default:
		p.configMap = joinNames(maps)
		p.problems = append(p.problems, Problem{
			ConfigMap: p.configMap,
			Message: fmt.Sprintf("ConfigMaps %s all have the labels of the restore gate: none of them is used, the gate has its defaults; "+
				"remove the label %s from all but one", p.configMap, velerov1.PodVolumeRestoreLabel),
		})
	}
	c := Config{
		Image:           p.parseImage(),
		Command:         p.parseCommand(),
		Resources:       p.parseResources(),
		SecurityContext: p.parseSecurityContext(),
		Deadline:        p.parseDeadline(),
	}
	c.ConfiguredResources = p.resources
	p.reportUnknownKeys()
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) })
	return c, p.problems
}

func joinNames(configMaps []corev1.ConfigMap) string {
	names := make([]string, 0, len(configMaps))
	for _, m := range configMaps {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// knownKeys are all keys that Parse reads.
var knownKeys = []string{
	KeyImage, KeyCommand, KeyCPURequest, KeyMemRequest, KeyCPULimit, KeyMemLimit,
	KeyRunAsUser, KeyRunAsGroup, KeyAllowPrivilegeEscalation, KeySecurityContext, KeyDeadline,
}

// parser reads one ConfigMap and collects its problems.
type parser struct {
	configMap string
	data      map[string]string
	image     string                // the default
	resources []corev1.ResourceName // that have a value
	problems  []Problem
}

// value returns the value of a key without spaces around it, and whether there
// is one to read. An empty value is the same as none.
func (p *parser) value(key string) (string, bool) {
	v := strings.TrimSpace(p.data[key])
	return v, v != ""
}

func (p *parser) has(key string) bool {
	_, ok := p.value(key)
	return ok
}

// reject records that the value of a key is not used.
func (p *parser) reject(key, format string, args ...any) {
	p.problems = append(p.problems, Problem{
		ConfigMap: p.configMap, Key: key, Value: p.data[key], Message: fmt.Sprintf(format, args...),
	})
}

func (p *parser) reportUnknownKeys() {
	for _, key := range slices.Sorted(maps.Keys(p.data)) {
		if !slices.Contains(knownKeys, key) {
			p.reject(key, "unknown key, it has no effect; known keys: %s", strings.Join(knownKeys, ", "))
			p.problems[len(p.problems)-1].Unknown = true
		}
	}
}
