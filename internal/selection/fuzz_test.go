package selection

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// FuzzDecide builds a pod from texts that people write and from bits for what they
// do not. Whatever they are: every volume has exactly one decision, in the order of
// the pod, with the reason of a rule; nothing of a namespace that is off is included;
// a stamp of it says the same, and makes no difference; warnings name what exists.
func FuzzDecide(f *testing.F) {
	f.Add("data", "", "", "opt-out", "volume0", uint16(0))
	f.Add("data,logs", "logs", "exclude", "opt-in", "data,logs", uint16(0b1010101010101010))
	f.Add(" data ,, logs", "data", "include", "off", "data,logs,default-token-x", uint16(0xffff))
	f.Add("*", "*", " include ", "", "a,b,c,d,e,f", uint16(0x1234))
	f.Add("a=b", ",", "both", "yes", "a=b,c=d", uint16(7))
	f.Fuzz(func(t *testing.T, included, excluded, wish, namespacePolicy, names string, bits uint16) {
		g := NewWithT(t)
		in := fuzzInput(names, bits)
		in.Pod.Annotations[velerov1.VolumesToBackupAnnotation] = included
		in.Pod.Annotations[velerov1.VolumesToExcludeAnnotation] = excluded
		in.Claims["c"] = ClaimFacts{Wish: wish, HostPathPV: bits&(1<<10) != 0, Block: bits&(1<<11) != 0}
		in.NamespacePolicy = namespacePolicy

		decisions := Decide(in)

		g.Expect(decisions).To(HaveLen(len(in.Pod.Spec.Volumes)))
		for i, v := range in.Pod.Spec.Volumes {
			d := decisions[i]
			g.Expect(d.Volume).To(Equal(v.Name))
			g.Expect(d.Reason.Rule().Number).To(BeNumerically(">", 0))
			g.Expect(d.Included && namespacePolicy == velerov1.FSBackupOff).To(BeFalse())
		}
		for _, w := range Warnings(in, decisions) {
			g.Expect(w.Text).NotTo(BeEmpty())
			g.Expect(w.Volume == "" || hasVolume(in.Pod, w.Volume)).To(BeTrue())
		}
		for key, value := range Stamp(decisions, InputsHash(in)) {
			in.Pod.Annotations[key] = value
		}
		resolved := Resolve(in)
		g.Expect(resolved.Decisions).To(Equal(decisions))
		g.Expect(resolved.Differences).To(BeEmpty())
		g.Expect(resolved.Stamp).To(Equal(StampValid))
	})
}

// fuzzInput has a volume for each name that an API server would take.
func fuzzInput(names string, bits uint16) Input {
	sources := []func(*corev1.Volume){func(*corev1.Volume) {}, claim("c"), onHostPath, ephemeral("exclude")}
	var mods []func(*corev1.Pod)
	for i, name := range ParseList(names) {
		if strings.ContainsAny(name, "=") { // names are DNS labels, and stamps rely on that
			continue
		}
		mods = append(mods, volume(name, sources[(int(bits)+i)%len(sources)]))
		if bits>>(i%8)&1 != 0 {
			mods = append(mods, unmounted(name))
		}
		if bits>>(i%5+3)&1 != 0 {
			mods = append(mods, device(name))
		}
	}
	in := Input{Pod: podWith(mods...), Claims: map[string]ClaimFacts{}, ServerDefault: bits&(1<<12) != 0}
	if bits&(1<<13) != 0 {
		yes := bits&(1<<14) != 0
		in.BackupDefault = &yes
	}
	if bits&(1<<15) != 0 {
		in.VolumePolicy = policy([]PolicyAction{PolicyNone, PolicyFSBackup, PolicySkip, PolicySnapshot, PolicyCustom, "other"}[bits%6])
	}
	return in
}

// FuzzFromStamp reads stamps that anybody may have written: none makes two decisions
// on a volume, or one on a volume that the pod does not have.
func FuzzFromStamp(f *testing.F) {
	f.Add("data", "logs=NotMounted", "h")
	f.Add("data,data", "data=X", "h")
	f.Add("", "data=,logs", "h")
	f.Add("logs,data", "", "")
	f.Add(" data ", "logs=a=b", "h")
	f.Fuzz(func(t *testing.T, selected, skipped, hash string) {
		g := NewWithT(t)
		pod := podWith(volume("data"), volume("logs"))
		pod.Annotations[velerov1.SelectedVolumesAnnotation] = selected
		pod.Annotations[velerov1.SkippedVolumesAnnotation] = skipped
		pod.Annotations[velerov1.SelectionInputsAnnotation] = hash

		decisions, ok := FromStamp(pod, "h")

		g.Expect(ok).To(Equal(decisions != nil))
		if ok {
			g.Expect(hash).To(Equal("h"))
			g.Expect(decisions).To(HaveLen(2))
			g.Expect(decisions[0].Volume + decisions[1].Volume).To(Equal("datalogs"))
		}
		g.Expect(Resolve(Input{Pod: pod}).Decisions).To(Equal(Decide(Input{Pod: pod})), "a stamp that no webhook wrote decides nothing")
	})
}
