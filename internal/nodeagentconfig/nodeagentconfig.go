// Package nodeagentconfig reads the node agent's ConfigMap: Velero's JSON, with its keys
// and defaults (velero-facts §8.1), and one key of podkeep's own.
//
// It is pure. The node agent reads ConfigMap and node once at start, calls Parse
// and logs the warnings; what does not parse stops the start, so that a typo is
// seen at once. The webhook calls it when the ConfigMap is written. Keys that only serve Velero's CSI data movement are warned about
// and ignored.
package nodeagentconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/podkeep/podkeep/internal/podresources"
)

const (
	// DefaultSlots is how many movers of a node move data at once. One, as in
	// Velero: a disk that is read twice at once is slower, and an application that
	// shares the node should not notice.
	DefaultSlots = 1

	// DefaultPrepareQueueLength is how many movers of a node may wait for a slot.
	// A mover is ready about a second after it is made and waits in about 40 MiB,
	// so that eight keep slots busy for volumes of a few megabytes without costing
	// a node more than a small pod.
	DefaultPrepareQueueLength = 8
)

// Settings is what the ConfigMap says for one node.
type Settings struct {
	Slots              int // movers that may move data at once, at least 1
	PrepareQueueLength int // movers that may wait for a slot, at least 1

	Resources         corev1.ResourceRequirements // of mover containers
	PriorityClassName string                      // of mover pods; "" means none
	Privileged        bool                        // whether mover containers are privileged
	PodAnnotations    map[string]string           // of mover pods
	PodLabels         map[string]string           // of mover pods

	// Compression is the kopia compressor of backups; "" means none. It is
	// podkeep's own key.
	Compression string
}

// Defaults is what holds without a ConfigMap.
func Defaults() Settings {
	return Settings{Slots: DefaultSlots, PrepareQueueLength: DefaultPrepareQueueLength}
}

// document is the JSON of the ConfigMap.
type document struct {
	LoadConcurrency   *loadConcurrency        `json:"loadConcurrency"`
	PodResources      *podresources.Resources `json:"podResources"`
	PriorityClassName string                  `json:"priorityClassName"`
	Privileged        bool                    `json:"privilegedFsBackup"`
	PodAnnotations    map[string]string       `json:"podAnnotations"`
	PodLabels         map[string]string       `json:"podLabels"`
	Compression       string                  `json:"compression"`
}

type loadConcurrency struct {
	GlobalConfig       *int       `json:"globalConfig"`
	PerNodeConfig      []nodeRule `json:"perNodeConfig"`
	PrepareQueueLength *int       `json:"prepareQueueLength"`
}

type nodeRule struct {
	NodeSelector metav1.LabelSelector `json:"nodeSelector"`
	Number       int                  `json:"number"`
}

// Keys that Parse knows, and those of Velero that have no meaning here.
var (
	topKeys = []string{
		"loadConcurrency", "podResources", "priorityClassName", "privilegedFsBackup",
		"podAnnotations", "podLabels", "compression",
	}
	unusedKeys      = []string{"loadAffinity", "backupPVC", "restorePVC", "cachePVC"}
	concurrencyKeys = []string{"globalConfig", "perNodeConfig", "prepareQueueLength"}
)

// Parse reads the data of the ConfigMap, which has exactly one key with any name,
// for a node with these labels. It returns warnings about what is ignored; the
// error names the field, its value and what is allowed.
func Parse(data map[string]string, nodeLabels map[string]string) (Settings, []string, error) {
	s := Defaults()
	if len(data) != 1 {
		return s, nil, fmt.Errorf("data: must have exactly one key, has %d: %s",
			len(data), strings.Join(slices.Sorted(maps.Keys(data)), ", "))
	}
	var text string
	for _, text = range data {
	}
	var doc document
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return s, nil, describe(err)
	}
	warnings, err := unknownKeys(text)
	if err != nil {
		return s, nil, err
	}

	warnings = append(warnings, s.setConcurrency(doc.LoadConcurrency, nodeLabels)...)
	s.Resources, err = doc.PodResources.Requirements("podResources")
	s.PriorityClassName = doc.PriorityClassName
	s.Privileged = doc.Privileged
	s.PodAnnotations = doc.PodAnnotations
	s.PodLabels = doc.PodLabels
	s.Compression = doc.Compression
	return s, warnings, err
}

// describe names the field that has the wrong type, when the decoder knows it.
func describe(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: Invalid value: %s: must be of type %s", t.Field, t.Value, t.Type)
	}
	return fmt.Errorf("parsing JSON: %w", err)
}

// setConcurrency follows Velero: numbers below 1 do not count, and the smallest
// number of all rules that match the node wins.
func (s *Settings) setConcurrency(c *loadConcurrency, nodeLabels map[string]string) []string {
	if c == nil {
		return nil
	}
	var warnings []string
	if n := c.GlobalConfig; n != nil && *n >= 1 {
		s.Slots = *n
	} else if n != nil {
		warnings = append(warnings, fmt.Sprintf("loadConcurrency.globalConfig: %d is not at least 1, using %d", *n, s.Slots))
	}
	if n := c.PrepareQueueLength; n != nil && *n >= 1 {
		s.PrepareQueueLength = *n
	} else if n != nil && *n < 0 {
		warnings = append(warnings, fmt.Sprintf("loadConcurrency.prepareQueueLength: %d is not at least 1, using %d",
			*n, s.PrepareQueueLength))
	}
	smallest, problems := smallestNumber(c.PerNodeConfig, nodeLabels)
	if smallest > 0 {
		s.Slots = smallest
	}
	return append(warnings, problems...)
}

// smallestNumber is the smallest number of the rules for a node with these
// labels, 0 when there is none, and what is wrong with rules.
func smallestNumber(rules []nodeRule, nodeLabels map[string]string) (int, []string) {
	smallest, problems := 0, []string(nil)
	for i, rule := range rules {
		matches, problem := rule.matches(nodeLabels)
		if problem != "" {
			problems = append(problems, fmt.Sprintf("loadConcurrency.perNodeConfig[%d]: ignored: %s", i, problem))
		}
		if matches && (smallest == 0 || rule.Number < smallest) {
			smallest = rule.Number
		}
	}
	return smallest, problems
}

// matches reports whether the rule is for a node with these labels, or what is
// wrong with the rule.
func (r nodeRule) matches(nodeLabels map[string]string) (bool, string) {
	if r.Number < 1 {
		return false, fmt.Sprintf("number %d is not at least 1", r.Number)
	}
	selector, err := metav1.LabelSelectorAsSelector(&r.NodeSelector)
	if err != nil {
		return false, fmt.Sprintf("nodeSelector: %v", err)
	}
	return selector.Matches(labels.Set(nodeLabels)), ""
}

// unknownKeys says which keys have no effect, in the order of the alphabet.
func unknownKeys(text string) ([]string, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &top); err != nil {
		return nil, describe(err)
	}
	var warnings []string
	for _, key := range slices.Sorted(maps.Keys(top)) {
		switch {
		case slices.Contains(unusedKeys, key):
			warnings = append(warnings, key+": not used by file system backup, ignored")
		case !slices.Contains(topKeys, key):
			warnings = append(warnings, key+": unknown key, ignored; known keys are "+strings.Join(topKeys, ", "))
		}
	}
	for _, section := range []struct {
		key   string
		known []string
	}{{"loadConcurrency", concurrencyKeys}, {"podResources", podresources.Keys}} {
		var keys map[string]json.RawMessage
		if raw, ok := top[section.key]; !ok || json.Unmarshal(raw, &keys) != nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !slices.Contains(section.known, key) {
				warnings = append(warnings, fmt.Sprintf("%s.%s: unknown key, ignored; known keys are %s",
					section.key, key, strings.Join(section.known, ", ")))
			}
		}
	}
	return warnings, nil
}
