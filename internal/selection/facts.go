package selection

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// gateNames are the init containers that restores add. They mount the volumes
// they wait for, which must not make a volume count as mounted: the same pod
// gets the same decisions with and without its gate.
var gateNames = []string{"restore-wait", "restic-wait"}

// facts is an Input with what several rules need computed once.
type facts struct {
	in       Input
	includes []string
	excludes []string
	mounts   map[string]bool // volumes that a container mounts
	devices  map[string]bool // volumes that a container uses as a device
}

func factsOf(in Input) facts {
	f := facts{
		in:       in,
		includes: ParseList(in.Pod.Annotations[velerov1.VolumesToBackupAnnotation]),
		excludes: ParseList(in.Pod.Annotations[velerov1.VolumesToExcludeAnnotation]),
		mounts:   map[string]bool{},
		devices:  map[string]bool{},
	}
	for _, c := range containers(in.Pod) {
		for _, m := range c.VolumeMounts {
			f.mounts[m.Name] = true
		}
		for _, d := range c.VolumeDevices {
			f.devices[d.Name] = true
		}
	}
	return f
}

// off says whether the namespace is switched off for file system backup.
func (f facts) off() bool { return f.in.NamespacePolicy == velerov1.FSBackupOff }

// claim returns the facts of the volume's claim, zero when there is none. The
// claim of a generic ephemeral volume that does not exist yet will be made from
// the pod's own template.
func (f facts) claim(v corev1.Volume) ClaimFacts {
	name, named := ClaimName(f.in.Pod, v)
	known, exists := f.in.Claims[name]
	switch {
	case named && exists:
		return known
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		t := v.Ephemeral.VolumeClaimTemplate
		return ClaimFactsOf(&corev1.PersistentVolumeClaim{ObjectMeta: t.ObjectMeta, Spec: t.Spec}, nil)
	default:
		return ClaimFacts{}
	}
}

// wish returns what the claim of the volume asks for: ClaimInclude, ClaimExclude,
// or "" for nothing that is known.
func (f facts) wish(v corev1.Volume) string {
	switch w := strings.TrimSpace(f.claim(v).Wish); w {
	case velerov1.ClaimInclude, velerov1.ClaimExclude:
		return w
	default:
		return ""
	}
}

// ClaimName returns the name of the claim behind the volume. ok is false for a
// volume without a claim, and for a generic ephemeral volume of a pod that has no
// name yet, because the claim is named after the pod.
func ClaimName(pod *corev1.Pod, v corev1.Volume) (name string, ok bool) {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName, true
	case v.Ephemeral != nil && pod.Name != "":
		return pod.Name + "-" + v.Name, true
	default:
		return "", false
	}
}

// containers are those whose mounts make the kubelet set a volume up; init
// containers and sidecars count (k8s.io/kubernetes/pkg/volume/util,
// GetPodVolumeNames). Gates are left out.
func containers(pod *corev1.Pod) []corev1.Container {
	all := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
	return slices.DeleteFunc(all, func(c corev1.Container) bool { return slices.Contains(gateNames, c.Name) })
}

// ParseList reads a comma separated list of volume names. Spaces around names
// are trimmed, empty names and repetitions dropped; the order is kept.
func ParseList(text string) []string {
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// UnknownVolumes returns the names in the pod's include and exclude lists that
// are not volumes of the pod, sorted. They are never an error, but people must
// hear of them: most of them are typing errors.
func UnknownVolumes(pod *corev1.Pod) []string {
	listed := slices.Concat(
		ParseList(pod.Annotations[velerov1.VolumesToBackupAnnotation]),
		ParseList(pod.Annotations[velerov1.VolumesToExcludeAnnotation]),
	)
	unknown := slices.DeleteFunc(listed, func(name string) bool { return hasVolume(pod, name) })
	slices.Sort(unknown)
	return slices.Compact(unknown)
}

// UnknownWish is a value of a claim's annotation that has no effect.
type UnknownWish struct {
	Volume string // name in pod.spec.volumes
	Claim  string // "" for the template of a generic ephemeral volume
	Value  string
}

// UnknownWishes returns the values of claims' podkeep.io/fs-backup annotations that
// are neither ClaimInclude nor ClaimExclude, in the order of the volumes. They are
// never an error, but people must hear of them.
func UnknownWishes(in Input) []UnknownWish {
	f := factsOf(in)
	var unknown []UnknownWish
	for _, v := range in.Pod.Spec.Volumes {
		value := f.claim(v).Wish
		if value == "" || f.wish(v) != "" {
			continue
		}
		name, _ := ClaimName(in.Pod, v)
		unknown = append(unknown, UnknownWish{Volume: v.Name, Claim: name, Value: value})
	}
	return unknown
}

// Impossible returns the decisions against volumes that somebody wants backed up
// but that file system backup can never read: those the pod lists or whose claim
// asks for it, and, where the decision would otherwise be yes, those on the node or
// on raw devices. Volumes that the pod or the claim excludes are left out.
func Impossible(in Input, decisions []Decision) []Decision {
	f := factsOf(in)
	wanted := f.in.NamespacePolicy == velerov1.FSBackupOptOut
	wishes := map[string]string{}
	for _, v := range in.Pod.Spec.Volumes {
		wishes[v.Name] = f.wish(v)
	}
	var impossible []Decision
	for _, d := range decisions {
		wish := wishes[d.Volume]
		asked := slices.Contains(f.includes, d.Volume) || wish == velerov1.ClaimInclude
		switch {
		case f.off(), wish == velerov1.ClaimExclude, wish == "" && slices.Contains(f.excludes, d.Volume):
		case asked && isImpossible(d.Reason), wanted && holdsUnreadableData(d.Reason):
			impossible = append(impossible, d)
		}
	}
	return impossible
}

// isImpossible says whether a reason stays whatever people ask for.
func isImpossible(r Reason) bool {
	return r == ReasonManagedByKubernetes || r == ReasonNotMounted || holdsUnreadableData(r)
}

// holdsUnreadableData says whether a reason means data that nobody protects.
func holdsUnreadableData(r Reason) bool {
	return r == ReasonHostPathUnsupported || r == ReasonBlockVolume
}

func hasVolume(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
}
