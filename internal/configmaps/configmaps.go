// Package configmaps tells which ConfigMaps of the install namespace podkeep reads,
// what each is for, and what is wrong with it.
//
// It is pure. The formats are those of the packages that read the ConfigMaps; here
// they are brought together for whoever looks at a ConfigMap without having asked for
// it: the webhook when one is written. What real Velero takes is never wrong here;
// keys that nobody knows are only ignored (docs/validation.md).
package configmaps

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/modifiers"
	"github.com/podkeep/podkeep/internal/nodeagentconfig"
	"github.com/podkeep/podkeep/internal/repositoryconfig"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// Names are the ConfigMaps that components are told to read by their arguments. ""
// is none.
type Names struct {
	NodeAgent       string // --node-agent-configmap of the node agent
	Repository      string // --backup-repository-configmap of the server
	MaintenanceJobs string // --repo-maintenance-job-configmap of the server
}

// All returns the names that are set, sorted, each once.
func (n Names) All() []string {
	names := []string{n.NodeAgent, n.Repository, n.MaintenanceJobs}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

// Role is what a ConfigMap is for. Values are those of velerov1.ConfigLabel, and
// RoleGate.
type Role string

// RoleGate tunes the gate of restored pods. It has Velero's labels for it and no
// value of velerov1.ConfigLabel.
const RoleGate Role = "restore-gate"

// readers are what reads ConfigMaps of a role.
var readers = map[Role]func(*corev1.ConfigMap) Findings{
	RoleGate:                        readGate,
	velerov1.ConfigNodeAgent:        readNodeAgent,
	velerov1.ConfigBackupRepository: readRepository,
	velerov1.ConfigMaintenanceJobs:  readMaintenanceJobs,
	velerov1.ConfigResourcePolicy:   readResourcePolicy,
	velerov1.ConfigResourceModifier: readResourceModifier,
	velerov1.ConfigUnchecked:        func(*corev1.ConfigMap) Findings { return Findings{} },
}

// PolicyPattern is in the text of a volume policy: one of its keys at the beginning
// of a line. It is a regular expression of RE2, and has no backslashes.
const PolicyPattern = `(?m)^(volumePolicies|includeExcludePolicy)[ ]*:`

var policyPattern = regexp.MustCompile(PolicyPattern)

// RolesOf returns what a ConfigMap is for, sorted: nothing for one that podkeep does
// not read. The first of these that holds counts: the value of velerov1.ConfigLabel;
// the labels of the gate; its name; a content that looks like a volume policy, which
// people make with kubectl create configmap --from-file, under any name.
func RolesOf(cm *corev1.ConfigMap, names Names) []Role {
	if role, ok := cm.Labels[velerov1.ConfigLabel]; ok {
		return []Role{Role(role)}
	}
	if gateconfig.Selector().Matches(labels.Set(cm.Labels)) {
		return []Role{RoleGate}
	}
	if roles := named(cm.Name, names); len(roles) > 0 {
		return roles
	}
	if looksLikePolicy(cm) {
		return []Role{velerov1.ConfigResourcePolicy}
	}
	return nil
}

// named returns the roles of a name. One ConfigMap may have two.
func named(name string, names Names) []Role {
	if name == "" {
		return nil
	}
	var roles []Role
	if name == names.Repository {
		roles = append(roles, velerov1.ConfigBackupRepository)
	}
	if name == names.NodeAgent {
		roles = append(roles, velerov1.ConfigNodeAgent)
	}
	if name == names.MaintenanceJobs {
		roles = append(roles, velerov1.ConfigMaintenanceJobs)
	}
	return roles
}

func looksLikePolicy(cm *corev1.ConfigMap) bool {
	if len(cm.Data) != 1 {
		return false
	}
	for _, text := range cm.Data {
		return policyPattern.MatchString(text)
	}
	return false
}

// Findings are what was found in a ConfigMap. Each names its field.
type Findings struct {
	// Invalid are values that cannot be used, with what is allowed.
	Invalid []string

	// Ignored is what has no effect and does no harm.
	Ignored []string
}

func (f *Findings) add(more Findings) {
	f.Invalid = append(f.Invalid, more.Invalid...)
	f.Ignored = append(f.Ignored, more.Ignored...)
}

// Check reads a ConfigMap as what its roles say.
func Check(cm *corev1.ConfigMap, roles []Role) Findings {
	var f Findings
	for _, role := range roles {
		read, ok := readers[role]
		if !ok {
			f.Ignored = append(f.Ignored, fmt.Sprintf("metadata.labels[%s]: Unsupported value: %q: the ConfigMap is not checked; supported values: %s",
				velerov1.ConfigLabel, role, strings.Join(labelValues(), ", ")))
			continue
		}
		f.add(read(cm))
	}
	return f
}

func labelValues() []string {
	var values []string
	for _, role := range slices.Sorted(maps.Keys(readers)) {
		if role != RoleGate {
			values = append(values, string(role))
		}
	}
	return values
}

// checkImage stands for podkeep's own image, which a check does not need.
const checkImage = "registry.example.com/podkeep:v0"

// readGate leaves out what the gate uses instead of a bad value: there will be none.
func readGate(cm *corev1.ConfigMap) Findings {
	var f Findings
	_, problems := gateconfig.Parse([]corev1.ConfigMap{*cm}, checkImage)
	for _, p := range problems {
		if p.Unknown {
			f.Ignored = append(f.Ignored, p.String())
			continue
		}
		if i := strings.LastIndex(p.Message, "; "); i >= 0 {
			p.Message = p.Message[:i]
		}
		f.Invalid = append(f.Invalid, p.String())
	}
	return f
}

func readNodeAgent(cm *corev1.ConfigMap) Findings {
	field := ""
	if len(cm.Data) == 1 {
		for key := range cm.Data {
			field = "data[" + key + "]: "
		}
	}
	var f Findings
	_, warnings, err := nodeagentconfig.Parse(cm.Data, nil)
	if err != nil {
		f.Invalid = append(f.Invalid, field+err.Error())
	}
	for _, w := range warnings {
		f.Ignored = append(f.Ignored, field+w)
	}
	return f
}

func readRepository(cm *corev1.ConfigMap) Findings { return Findings(repositoryconfig.Check(cm.Data)) }

func readMaintenanceJobs(cm *corev1.ConfigMap) Findings {
	return Findings(repositoryconfig.CheckMaintenance(cm.Data))
}

func readResourcePolicy(cm *corev1.ConfigMap) Findings {
	policies, problems := resourcepolicy.Parse(cm.Data)
	return Findings{Invalid: problems, Ignored: policies.Warnings()}
}

func readResourceModifier(cm *corev1.ConfigMap) Findings {
	_, problems := modifiers.FromConfigMap(cm)
	return Findings{Invalid: problems}
}
