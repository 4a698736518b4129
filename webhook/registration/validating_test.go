package registration

import (
	"testing"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/configmaps"
)

func validating() []admissionv1.ValidatingWebhook {
	return ValidatingConfiguration("backup", ConfigMapNames{NodeAgent: "node-agent-config", Repository: `"quoted"`}).Webhooks
}

func TestWhichNamespacesAreValidated(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	namespaces := map[string]map[string]string{
		"backup":          {corev1.LabelMetadataName: "backup", "podkeep.io/fs-backup": "opt-out"},
		"kube-system":     {corev1.LabelMetadataName: "kube-system", "podkeep.io/fs-backup": "opt-out"},
		"kube-node-lease": {corev1.LabelMetadataName: "kube-node-lease", "podkeep.io/fs-backup": "opt-out"},
		"opt-out":         {corev1.LabelMetadataName: "shop", "podkeep.io/fs-backup": "opt-out"},
		"opt-in":          {corev1.LabelMetadataName: "shop", "podkeep.io/fs-backup": "opt-in"},
		"plain":           {corev1.LabelMetadataName: "shop"},
	}
	want := map[string][]string{
		ConfigMapsName:        {"backup"},
		ResourcesName:         {"backup"},
		PodWarningsName:       {"plain"}, // the others are warned by the selection webhook
		WorkloadWarningsName:  {"opt-out", "opt-in", "plain"},
		NamespaceWarningsName: {"opt-out"},
	}
	for _, w := range validating() {
		var got []string
		for name, labels := range namespaces {
			if matches(t, w.NamespaceSelector, labels) {
				got = append(got, name)
			}
		}
		g.Expect(got).To(ConsistOf(want[w.Name]), w.Name)
	}
	g.Expect(validating()).To(HaveLen(len(want)))
}

func TestValidatingRules(t *testing.T) {
	t.Parallel()
	for _, w := range validating() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			g.Expect(*w.FailurePolicy).To(Equal(admissionv1.Ignore), "nothing stops when podkeep does")
			g.Expect(*w.SideEffects).To(Equal(admissionv1.SideEffectClassNone))
			g.Expect(*w.TimeoutSeconds).To(BeEquivalentTo(5))
			g.Expect(w.ClientConfig.Service.Namespace).To(Equal("backup"))
			for _, rule := range w.Rules {
				g.Expect(rule.Operations).To(ConsistOf(admissionv1.Create, admissionv1.Update), "what is removed is removed")
				for _, resource := range rule.Resources {
					g.Expect(resource).NotTo(ContainSubstring("/"), "subresources are written by controllers")
				}
			}
		})
	}
}

func TestNamesAreQuoted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(oursCondition(ConfigMapNames{})).NotTo(ContainSubstring(" in ["))
	g.Expect(oursCondition(ConfigMapNames{NodeAgent: `a"b`, Repository: "c"})).To(HaveSuffix(`object.metadata.?name.orValue("") in ["a\"b","c"]`))
	g.Expect(configmaps.PolicyPattern).NotTo(ContainSubstring(`\`), "it stands in a literal of CEL")
}

func TestConfigurationsAreOneList(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	all := Configurations("velero", ConfigMapNames{})

	g.Expect(all).To(HaveLen(len(Kinds())))
	for i, configuration := range all {
		g.Expect(configuration).To(BeAssignableToTypeOf(Kinds()[i]))
		g.Expect(configuration.GetName()).To(Equal("podkeep-velero"))
		for _, c := range ClientConfigs(configuration) {
			c.CABundle = []byte("x")
		}
	}
	g.Expect(all[0]).To(HaveField("Webhooks", HaveEach(HaveField("ClientConfig.CABundle", BeEquivalentTo("x")))))
	g.Expect(all[1]).To(HaveField("Webhooks", HaveEach(HaveField("ClientConfig.CABundle", BeEquivalentTo("x")))))
	g.Expect(ClientConfigs(&corev1.Pod{})).To(BeEmpty())
}
