package monitoring

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	metrics "github.com/podkeep/podkeep/controllers/coverage"
	"github.com/podkeep/podkeep/internal/coverage"
)

// ruleFile is the format of Prometheus' rule files
// (https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/).
type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func readRules(t *testing.T) map[string]rule {
	t.Helper()
	g := NewWithT(t)
	var file ruleFile
	g.Expect(yaml.UnmarshalStrict(Rules(), &file)).To(Succeed())
	byName := map[string]rule{}
	for _, group := range file.Groups {
		g.Expect(group.Name).NotTo(BeEmpty())
		for _, r := range group.Rules {
			g.Expect(byName).NotTo(HaveKey(r.Alert))
			byName[r.Alert] = r
		}
	}
	return byName
}

// labelsOf are the labels of each metric.
var labelsOf = map[string][]string{
	metrics.MetricVolumes:      {metrics.LabelNamespace, metrics.LabelVerdict, metrics.LabelReason},
	metrics.MetricOldestBackup: {metrics.LabelNamespace},
	metrics.MetricEvaluated:    {},
	metrics.MetricDuration:     {},
}

func TestRulesAreComplete(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	rules := readRules(t)
	g.Expect(rules).To(And(HaveLen(4), HaveKey("PodkeepVolumeUnprotected"), HaveKey("PodkeepBackupStale"),
		HaveKey("PodkeepLastBackupFailed"), HaveKey("PodkeepCoverageUnknown")))
	for name, r := range rules {
		g.Expect(r.For).To(MatchRegexp(`^\d+[mh]$`), name)
		g.Expect(r.Labels).To(HaveKeyWithValue("severity", Or(Equal("warning"), Equal("critical"))), name)
		g.Expect(r.Annotations).To(And(HaveKey("summary"), HaveKey("description"), HaveKey("runbook_url")), name)
		_, err := metricsql.Parse(r.Expr)
		g.Expect(err).NotTo(HaveOccurred(), name)
	}
}

// TestRulesUseWhatThereIs keeps expressions and metrics together: metrics, labels
// and values that nobody writes would make an alert that never fires.
func TestRulesUseWhatThereIs(t *testing.T) {
	t.Parallel()
	for name, r := range readRules(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			expr, err := metricsql.Parse(r.Expr)
			g.Expect(err).NotTo(HaveOccurred())
			metricsql.VisitAll(expr, func(e metricsql.Expr) {
				m, ok := e.(*metricsql.MetricExpr)
				if !ok {
					return
				}
				for _, filters := range m.LabelFilterss {
					metric := ""
					for _, f := range filters {
						switch f.Label {
						case "__name__":
							metric = f.Value
							g.Expect(labelsOf).To(HaveKey(metric))
						case metrics.LabelVerdict:
							g.Expect(coverage.Verdicts()).To(ContainElement(coverage.Verdict(f.Value)))
						default:
							g.Expect(labelsOf[metric]).To(ContainElement(f.Label))
						}
					}
				}
			})
			for _, label := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
				g.Expect(r.Expr).To(MatchRegexp(`by \([^)]*\b`+label[1]+`\b`), "the expression keeps the label")
			}
		})
	}
}

// TestEachReasonHasItsAlert has each volume that is not protected in one alert.
func TestEachReasonHasItsAlert(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	rules := readRules(t)
	late := []coverage.Reason{coverage.ReasonStale, coverage.ReasonNeverBackedUp, coverage.ReasonSnapshotMissing}
	for _, reason := range late {
		g.Expect(rules["PodkeepBackupStale"].Expr).To(ContainSubstring(string(reason)))
		g.Expect(rules["PodkeepVolumeUnprotected"].Expr).To(MatchRegexp(`reason!~"[^"]*\b` + string(reason) + `\b`))
	}
	g.Expect(rules["PodkeepLastBackupFailed"].Expr).To(ContainSubstring(string(coverage.ReasonLastBackupFailed)))
	g.Expect(rules["PodkeepVolumeUnprotected"].Expr).To(MatchRegexp(`reason!~"[^"]*\b` + string(coverage.ReasonLastBackupFailed) + `\b`))
}

func TestRunbooksExist(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	page, err := os.ReadFile("../../docs/coverage.md")
	g.Expect(err).NotTo(HaveOccurred())
	anchors := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if title, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			anchors[strings.ReplaceAll(strings.ToLower(title), " ", "-")] = true
		}
	}
	for name, r := range readRules(t) {
		_, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "docs/coverage.md#")
		g.Expect(anchors).To(HaveKey(anchor), name)
	}
}

func TestObjects(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	objects, err := Objects("backup", map[string]string{"release": "prometheus"})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(objects).To(HaveLen(2))
	for _, o := range objects {
		g.Expect(o.GetNamespace()).To(Equal("backup"))
		g.Expect(o.GetLabels()).To(Equal(map[string]string{"release": "prometheus"}))
		g.Expect(o.GetObjectKind().GroupVersionKind().GroupVersion()).To(Equal(GroupVersion))
	}
	groups, found, err := unstructured.NestedSlice(objects[0].(*unstructured.Unstructured).Object, "spec", "groups")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(BeTrue())
	g.Expect(groups).To(HaveLen(1))
}
